"""The nodes: thin classes that convert, call one function of `rr_models`, and return."""

from .compare import RationalRewardsCompare
from .critique import RationalRewardsCritique
from .gate import RationalRewardsGate
from .load_critic import RationalRewardsLoadCritic
from .load_critique import RationalRewardsLoadCritique
from .pack_images import RationalRewardsPackImages
from .pick_best import RationalRewardsPickBest
from .rank_folder import RationalRewardsRankFolder
from .refine_end import RationalRewardsRefineEnd
from .refine_start import RationalRewardsRefineStart
from .refine_step import RationalRewardsRefineStep
from .revise_prompt import RationalRewardsRevisePrompt
from .save_image import RationalRewardsSaveImage
from .scorecard import RationalRewardsScorecard
from .shapes_generator import RationalRewardsShapesGenerator
from .tournament import RationalRewardsTournament
from .unpack_images import RationalRewardsUnpackImages
from .unpack_scores import RationalRewardsUnpackScores

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
    RationalRewardsPackImages,
    RationalRewardsUnpackImages,
    RationalRewardsUnpackScores,
    RationalRewardsRankFolder,
    RationalRewardsScorecard,
    RationalRewardsSaveImage,
    RationalRewardsLoadCritique,
    RationalRewardsShapesGenerator,
)
