"""The nodes: thin classes that convert, call one function of `rr_models`, and return."""

from .critique import RationalRewardsCritique
from .load import RationalRewardsLoadCritic
from .loop import RationalRewardsRefineEnd, RationalRewardsRefineStart
from .pick import RationalRewardsPickBest
from .revise import RationalRewardsRevisePrompt
from .shapes import RationalRewardsShapesGenerator

NODES = (
    RationalRewardsLoadCritic,
    RationalRewardsCritique,
    RationalRewardsRevisePrompt,
    RationalRewardsRefineStart,
    RationalRewardsRefineEnd,
    RationalRewardsPickBest,
    RationalRewardsShapesGenerator,
)
