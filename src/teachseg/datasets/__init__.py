"""Where images and their Targets come from: scenes drawn on the spot, readers of real data sets.

Every data set is indexed, `dataset[i] -> (image (3, H, W) float32 in [0, 1], Targets)`, has a
`len()`, and can be handed to a torch DataLoader.
"""
