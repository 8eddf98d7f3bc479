"""The hall: where rooms meet, and nothing else.

Rooms never import one another. What they share stands here: the values that travel (`model`), the facts they
publish (`events`, carried by `bus`), the questions they may ask (`doors`), and what every room needs to be
testable (`clock`, `ids`, `errors`, `secrets`).
"""
