"""The parts a network is built from: thin modules and functions that never see ground truth."""
