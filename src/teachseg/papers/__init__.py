"""One page per paper: its configuration, the model, its training losses, prediction and trace."""
