"""What a specification must keep together as a whole: above all that it could name.

`names.specification_problems` is what can be seen without Keras, `validate.validate` is everything.
"""
