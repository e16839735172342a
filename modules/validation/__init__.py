"""How the parts of a specification must fit together; above all packages that it could name.

`names.specification_problems` is what can be seen without Keras, `validate.validate` is everything.
"""
