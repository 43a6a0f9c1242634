"""The log of predictions: what each answer was made from, in the kernel or on the disk before the answer leaves.

A worker appends frames to segment files of its own epoch (`writer`); a reader takes whole records from them and stops
at a torn tail (`reader`).
"""
