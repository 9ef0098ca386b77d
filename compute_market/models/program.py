"""Programs: WebAssembly modules, kept once however many jobs run them."""

from django.db import models
from django.db.models import Q


class Program(models.Model):
    """One module, known by the SHA-256 of its bytes."""

    sha256 = models.CharField(max_length=64, unique=True, help_text="hexadecimal digest of the content")
    content = models.BinaryField()
    size_bytes = models.PositiveIntegerField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(size_bytes__gt=0), name="program_not_empty")]

    def __str__(self) -> str:
        return self.sha256[:12]
