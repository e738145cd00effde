"""The four tasks of a critic: judge or compare images, generated from text or edited from source images."""

from __future__ import annotations

from enum import Enum


class Task(str, Enum):
    """What a critic is asked to do. Equal to its plain string, which is what JSON and prompts hold."""

    T2I = "t2i"
    EDIT = "edit"
    T2I_PAIR = "t2i-pair"
    EDIT_PAIR = "edit-pair"

    @classmethod
    def parse(cls, name: str) -> Task:
        """The task of this name; ValueError lists the names."""
        try:
            return cls(name)
        except ValueError:
            raise ValueError(f"task must be one of {', '.join(cls)}, not {name!r}.") from None

    @property
    def is_pair(self) -> bool:
        """Whether two images, A and B, are compared."""
        return self in (Task.T2I_PAIR, Task.EDIT_PAIR)

    @property
    def has_source(self) -> bool:
        """Whether source images come before the images to judge."""
        return self in (Task.EDIT, Task.EDIT_PAIR)

    @property
    def single(self) -> Task:
        """The task that judges one image of this kind."""
        return Task.EDIT if self.has_source else Task.T2I

    @property
    def pair(self) -> Task:
        """The task that compares two images of this kind."""
        return Task.EDIT_PAIR if self.has_source else Task.T2I_PAIR

    # Python 3.10, 3.11 and 3.12 differ in what they make of a str that is an Enum.
    def __str__(self) -> str:
        return self.value

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)

    @classmethod
    def of(cls, *, sources: bool, pair: bool = False) -> Task:
        """The task for images with or without source images."""
        task = cls.EDIT if sources else cls.T2I
        return task.pair if pair else task
