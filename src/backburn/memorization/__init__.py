"""What the memorize probe tells, and the checks that judge it: pure functions, a module for each part of a training.

`seen` holds the evidence and what it is held against; `judging` decides how loud a finding is. A check is listed in
`stages.memorize.CHECKS`, root before symptom: the first that fails is the cause.
"""
