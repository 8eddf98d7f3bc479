"""What unlocks a key ring. One file per kind; `lock.Lock` says what each must offer, `choice` finds it by its name.

A kind such as `cloud-kms` is the module `cloud_kms` in this package and nothing else: a function
`configured(site, makes)` that returns a `Lock`. See docs/howto/key-ring.md.
"""
