"""Does reproduce notice a bug in a training, and say its step, its place and its commit? And is it silent otherwise?"""
