"""How many silent training bugs does `backburn.memorize` catch, at how many false alarms, beside what else there is?"""
