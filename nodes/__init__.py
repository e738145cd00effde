"""The nodes: thin classes that convert, call one function of `rr_models`, and return."""

from .compare import RationalRewardsCompare
from .critique import RationalRewardsCritique
from .load import RationalRewardsLoadCritic
from .pick import RationalRewardsPickBest
from .refine_end import RationalRewardsRefineEnd
from .refine_start import RationalRewardsRefineStart
from .refine_step import RationalRewardsRefineStep
from .revise import RationalRewardsRevisePrompt
from .shapes import RationalRewardsShapesGenerator

NODES = (
    RationalRewardsLoadCritic,
    RationalRewardsCritique,
    RationalRewardsCompare,
    RationalRewardsRevisePrompt,
    RationalRewardsRefineStart,
    RationalRewardsRefineEnd,
    RationalRewardsRefineStep,
    RationalRewardsPickBest,
    RationalRewardsShapesGenerator,
)
