"""The options of reading data: the fields of all commands that read some."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from launch.study.options import Group, Option

MOST_MEGAPIXELS = 10_000.0
MOST_GB = 1e6

SkipBad = Annotated[
    bool | Literal["anyway"],
    Option("[=anyway]", bare="true"),
    Field(
        description="Drop bad entries of the data, count them, and go on; only while 90% of the "
        "images and of the annotations are kept, or anyway."
    ),
]


class DataOptions(Group):
    """What is read of data, and what is left out."""

    skip_bad: SkipBad = False
    links: bool = Field(
        default=True, description="Links in the image folder may lead out of it, as into a store."
    )
    max_megapixels: float | None = Field(
        default=None,
        gt=0,
        le=MOST_MEGAPIXELS,
        description="Largest image that is read, in millions of pixels; 150 by default.",
    )

    @property
    def reading(self) -> dict[str, Any]:
        """The arguments of `read_source` that these options are."""
        limit = {"max_megapixels": self.max_megapixels} if self.max_megapixels else {}
        return {"skip_bad": self.skip_bad, "links": self.links, **limit}


class LeakOptions(DataOptions):
    drop_leaks: bool = Field(
        default=False,
        title="Leaks dropped",
        description="Leave out the training images that are validation images, too: the same file, "
        "or the same to the eye.",
    )


class CacheOptions(DataOptions):
    cache_gb: Annotated[float | None, Option("GB", resumable=True)] = Field(
        default=None,
        ge=0,
        le=MOST_GB,
        title="Gigabytes of decoded images",
        description="Most disk space for decoded images on a node; by default half of what is "
        "free there. 0 keeps none.",
    )


class TrainingDataOptions(LeakOptions, CacheOptions):
    @property
    def of_trials(self) -> dict[str, Any]:
        """The arguments of `TrialData.read` that these options are."""
        return {**self.reading, "drop_leaks": self.drop_leaks, "cache_gb": self.cache_gb}
