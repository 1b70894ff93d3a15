"""What the reproduce probe tells of a training step by step, and what follows from it: without torch.

`steps` holds what was recorded; where two trainings part, what a night comes to, and how two of them differ stand on
it. All but `runs` and `beside`, which start trainings, is pure.
"""
