"""A registered version as something that runs elsewhere: a container's build context, a folder, manifests, a front.

Every file is written by a serializer that escapes what people may choose; nothing is made by pasting strings together.
"""
