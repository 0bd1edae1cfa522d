"""The tables of rewards, one module per subject; Django finds them by this import."""

from rewards.models.achievements import (
    Achievement,
    AchievementProgress,
    AchievementUnlock,
    AchievementValue,
)
from rewards.models.coupons import (
    Coupon,
    CouponCode,
    CouponRedemption,
    CouponTally,
    CouponUse,
)
from rewards.models.grants import Badge, Grant, GrantMove, InventoryItem
from rewards.models.items import RewardConfig, RewardItem
from rewards.models.jobs import Job
from rewards.models.ladders import Ladder, PlayerLevel
from rewards.models.ledger import (
    Account,
    Currency,
    Hold,
    LedgerTransaction,
    Lot,
    LotDraw,
    Posting,
    Proof,
)
from rewards.models.participants import Participant
from rewards.models.rules import (
    Firing,
    Refusal,
    Rule,
    RuleBudget,
    RuleChange,
    RuleNotice,
    RuleUse,
    RuleVersion,
)
from rewards.models.streaks import (
    FreezeMove,
    PlayerStreak,
    Streak,
    StreakClock,
    StreakEdition,
    StreakFreeze,
    StreakMilestone,
    StreakNotice,
    StreakRepair,
    StreakWindow,
)
from rewards.models.versions import BookStamp, DocumentVersion

__all__ = [
    "Account",
    "Achievement",
    "AchievementProgress",
    "AchievementUnlock",
    "AchievementValue",
    "Badge",
    "BookStamp",
    "Coupon",
    "CouponCode",
    "CouponRedemption",
    "CouponTally",
    "CouponUse",
    "Currency",
    "DocumentVersion",
    "Firing",
    "FreezeMove",
    "Grant",
    "GrantMove",
    "Hold",
    "InventoryItem",
    "Job",
    "Ladder",
    "LedgerTransaction",
    "Lot",
    "LotDraw",
    "Participant",
    "PlayerLevel",
    "PlayerStreak",
    "Posting",
    "Proof",
    "Refusal",
    "RewardConfig",
    "RewardItem",
    "Rule",
    "RuleBudget",
    "RuleChange",
    "RuleNotice",
    "RuleUse",
    "RuleVersion",
    "Streak",
    "StreakClock",
    "StreakEdition",
    "StreakFreeze",
    "StreakMilestone",
    "StreakNotice",
    "StreakRepair",
    "StreakWindow",
]
