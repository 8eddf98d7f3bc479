"""PEOPLE WHO DON'T FALL FOR IT.

Empty as yet: lessons, spaced repetition, phishing rehearsals and the report button will live here.
"""
