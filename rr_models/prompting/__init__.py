"""How a critic is asked: the rubric, custom templates, the wording of a model card."""
