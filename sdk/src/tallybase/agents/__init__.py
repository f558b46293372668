"""Two example agents that really pay for what they do, with small models that run offline."""

from tallybase.agents.qa import Answer, QAAgent
from tallybase.agents.visual_post_creator import BackgroundImage, VisualPostCreatorAgent

__all__ = ["Answer", "BackgroundImage", "QAAgent", "VisualPostCreatorAgent"]
