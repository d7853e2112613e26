"""Pictures of the first test images: clean, adversarial, perturbation, purified."""
