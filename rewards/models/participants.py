from django.db import models

from players.models import Player
from tenants.models import Tenant


class Participant(models.Model):
    """A player as rewards know them: the one row to lock before changing what a player has.

    Wallets, goals, streaks, levels and freezes of a player change only under this lock, so
    whatever was read after it holds until the transaction ends.
    """

    player = models.OneToOneField(
        Player, primary_key=True, on_delete=models.PROTECT, related_name="+"
    )
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.player_id)
