"""What the networks' answers mean: from logits to Detections."""
