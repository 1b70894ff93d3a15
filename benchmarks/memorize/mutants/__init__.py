"""The tuning mutants: the rows of the research (section 2) that leave a trace in one process on the CPU."""

from . import data, loop, loss, model, optimizer

MUTANTS = (*data.MUTANTS, *model.MUTANTS, *loss.MUTANTS, *optimizer.MUTANTS, *loop.MUTANTS)
