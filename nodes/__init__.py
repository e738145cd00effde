"""The nodes: thin classes that convert, call one function of `rr_models`, and return."""

from .compare import RationalRewardsCompare
from .critique import RationalRewardsCritique
from .gate import RationalRewardsGate
from .load import RationalRewardsLoadCritic
from .pick import RationalRewardsPickBest
from .rank_folder import RationalRewardsRankFolder
from .reading import RationalRewardsLoadCritique
from .refine_end import RationalRewardsRefineEnd
from .refine_start import RationalRewardsRefineStart
from .refine_step import RationalRewardsRefineStep
from .revise import RationalRewardsRevisePrompt
from .save import RationalRewardsSaveImage
from .scorecard import RationalRewardsScorecard
from .shapes import RationalRewardsShapesGenerator
from .tournament import RationalRewardsTournament

NODES = (
    RationalRewardsLoadCritic,
    RationalRewardsCritique,
    RationalRewardsCompare,
    RationalRewardsRevisePrompt,
    RationalRewardsRefineStart,
    RationalRewardsRefineEnd,
    RationalRewardsRefineStep,
    RationalRewardsPickBest,
    RationalRewardsTournament,
    RationalRewardsGate,
    RationalRewardsRankFolder,
    RationalRewardsScorecard,
    RationalRewardsSaveImage,
    RationalRewardsLoadCritique,
    RationalRewardsShapesGenerator,
)
