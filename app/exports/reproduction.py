"""Two manifests compared: is it the same result, and where it is not, why."""

from __future__ import annotations

from collections.abc import Iterator

from app.exports.manifest import Manifest

_UNEXPLAINED = (
    "Nothing that the manifests record explains it: the stored rows have changed. Rows were deleted or rewritten in "
    "place, or a source has no created timestamps by which later rows could be left out"
)


def compare(manifest: Manifest, other: Manifest) -> list[str]:
    """Why the data of `other`, a later run, differ from those of `manifest`: a sentence each, those that explain most
    first. Empty where the checksums are equal, whatever else has changed."""
    if manifest.data.sha256 == other.data.sha256:
        return []
    asked = [*_request(manifest, other), *_definitions(manifest, other)]
    found = [*asked, *_engines(manifest, other)]
    return [
        f"The data differ: sha256 {manifest.data.sha256} then, {other.data.sha256} now",
        *(found or [_UNEXPLAINED]),
        *_outcome(manifest, other),
    ]


def _request(then: Manifest, now: Manifest) -> Iterator[str]:
    if then.spine.sha256 != now.spine.sha256:
        if then.spine.rows == now.spine.rows:
            yield f"The spine has other contents, in as many rows: {then.spine.rows:,}"
        else:
            yield f"The spine is another one: {then.spine.rows:,} rows then, {now.spine.rows:,} now"
    for name in ("project", "feature_service", "format", "cutoff", "known_at", "full_feature_names"):
        before, after = getattr(then, name), getattr(now, name)
        if before != after:
            yield f"{name} was {before} then, and is {after} now"
    if then.features != now.features:
        yield from _sets("The feature", then.features, now.features)
        if set(then.features) == set(now.features):
            yield "The features come in another order"


def _definitions(then: Manifest, now: Manifest) -> Iterator[str]:
    before = {view.view: view for view in then.views}
    after = {view.view: view for view in now.views}
    yield from _sets("The view", tuple(before), tuple(after))
    for name in before.keys() & after.keys():
        if before[name].definition_hash != after[name].definition_hash:
            versions = f" (version {before[name].version} then, {after[name].version} now)"
            changed = versions if before[name].version != after[name].version else ""
            yield f"The definition of {name} has changed{changed}"


def _engines(then: Manifest, now: Manifest) -> Iterator[str]:
    for name in dict.fromkeys((*then.engines, *now.engines)):
        before, after = then.engines.get(name), now.engines.get(name)
        if before != after:
            yield f"{name} was {before or 'not used'} then, and is {after or 'not used'} now"


def _outcome(then: Manifest, now: Manifest) -> Iterator[str]:
    if then.rows != now.rows:
        yield f"There were {then.rows:,} rows then, and are {now.rows:,} now"
    types = {column.name: column.dtype for column in now.schema}
    for column in then.schema:
        if types.get(column.name, column.dtype) != column.dtype:
            yield f"Column {column.name} was {column.dtype} then, and is {types[column.name]} now"
    after = {entry.feature: entry for entry in now.statistics}
    for before in then.statistics:
        found = after.get(before.feature)
        if found is not None and (before.nulls, before.statuses) != (found.nulls, found.statuses):
            moved = [
                f"{status} {before.statuses[status]:,} then, {found.statuses[status]:,} now"
                for status in before.statuses
                if before.statuses[status] != found.statuses.get(status)
            ]
            nulls = f"had {before.nulls:,} nulls then, and has {found.nulls:,} now"
            yield f"Feature {before.feature} {nulls}: {'; '.join(moved)}"


def _sets(noun: str, then: tuple[str, ...], now: tuple[str, ...]) -> Iterator[str]:
    yield from (f"{noun} {name} is missing now" for name in then if name not in now)
    yield from (f"{noun} {name} is new" for name in now if name not in then)
