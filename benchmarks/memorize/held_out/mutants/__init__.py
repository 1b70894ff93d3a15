"""Realistic defects by another hand, set aside.

Left out, for nothing of them shows in one batch or one fetch of one process: label noise; a target network that is
never synchronised or not used; augmentation that is the same in each worker; a validation split that overlaps; the
order of the risk set in Cox's loss; boxes in another convention of the same range; labels shifted twice; one block
used for all layers of a net (only a reference sees it); a padding_idx that is a real token; drop path with the
probabilities the wrong way round; T_max, patience and epochs that only matter later; the scale of kl_div's "mean";
a gradient penalty without create_graph; what breaks only with several processes.
"""

from . import data, loops, nets, sources

MUTANTS = (*data.MUTANTS, *nets.MUTANTS, *loops.MUTANTS, *sources.MUTANTS)
