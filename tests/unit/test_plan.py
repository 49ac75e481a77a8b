"""Compiling plans: order, keys, inputs of on-demand views, and everything that is refused by name."""

from __future__ import annotations

import dataclasses

import pytest

from app.domain import FieldSpec, Projection, ViewSpec
from app.errors import InvalidRequestError, NotFoundError, NotServableError
from app.serving.plan import compile_features, compile_service
from tests.unit.catalogs import SHOP, FakeStore, catalog, profile, scaled, service, visits


def test_outputs_keep_the_order_of_the_service_and_views_are_read_once() -> None:
    ordered = service("s", Projection("visits", ("name", "count")), Projection("profile", ("name",)))
    plan = compile_service(catalog(ordered), ordered, FakeStore())
    assert [output.reference for output in plan.outputs] == ["visits:name", "visits:count", "profile:name"]
    assert [(planned.view.name, planned.features) for planned in plan.views] == [
        ("visits", ("name", "count")),
        ("profile", ("name",)),
    ]
    assert dict(plan.join_keys) == {"user_id": FieldSpec("user_id", "STRING"), "shop_id": FieldSpec("shop_id", "INT64")}


def test_a_feature_list_may_alternate_between_views() -> None:
    plan = compile_features(catalog(), ["profile:name", "visits:count", "profile:age"], FakeStore())
    assert [output.reference for output in plan.outputs] == ["profile:name", "visits:count", "profile:age"]
    assert [planned.features for planned in plan.views] == [("name", "age"), ("count",)]


def test_an_on_demand_view_brings_its_inputs_and_request_fields() -> None:
    plan = compile_features(catalog(), ["scaled_age:scaled"], FakeStore())
    assert [output.reference for output in plan.outputs] == ["scaled_age:scaled"]
    assert [(planned.view.name, planned.features) for planned in plan.views] == [("profile", ("age",))]
    assert list(plan.request_fields) == ["factor"]
    assert plan.transforms[0].inputs == (("profile__age", 0, "age"),)


def test_an_alias_and_a_renamed_join_key() -> None:
    renamed = Projection("profile", ("age",), alias="boss", join_key_map={"user_id": "boss_id"})
    both = service("s", Projection("profile", ("age",)), renamed)
    plan = compile_service(catalog(both), both, FakeStore())
    assert [output.reference for output in plan.outputs] == ["profile:age", "boss:age"]
    assert [planned.key_columns for planned in plan.views] == [("user_id",), ("boss_id",)]
    assert list(plan.join_keys) == ["user_id", "boss_id"]
    assert plan.names(full=True) == ["profile__age", "boss__age"]
    with pytest.raises(InvalidRequestError, match="age; ask with full_feature_names=true"):
        plan.names(full=False)


@pytest.mark.parametrize(
    ("reference", "error", "message"),
    [
        ("nothing:x", NotFoundError, "no feature view nothing"),
        ("profile:x", NotFoundError, "profile has no feature x"),
        ("scaled_age:x", NotFoundError, "scaled_age has no feature x"),
        ("profile@v3:age", NotServableError, "profile@v3: one version"),
        ("profile", InvalidRequestError, "not valid"),
    ],
)
def test_unknown_references(reference: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        compile_features(catalog(), [reference], FakeStore())


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"enabled": False}, "disabled"), ({"online": False}, "online=False")],
)
def test_views_that_may_not_be_read(change: dict[str, bool], reason: str) -> None:
    changed = dataclasses.replace(profile, **change)  # type: ignore[arg-type]
    with pytest.raises(NotServableError, match=f"profile.*{reason}"):
        compile_features(catalog(views=[changed, visits]), ["profile:age"], FakeStore())


@pytest.mark.parametrize(
    ("change", "reason"), [({"refusal": "it aggregates"}, "it aggregates"), ({"enabled": False}, "disabled")]
)
def test_on_demand_views_that_may_not_be_computed(change: dict[str, object], reason: str) -> None:
    changed = dataclasses.replace(scaled, **change)  # type: ignore[arg-type]
    with pytest.raises(NotServableError, match=f"scaled_age.*{reason}"):
        compile_features(catalog(on_demand=[changed]), ["scaled_age:scaled"], FakeStore())


def test_a_service_that_cannot_be_served_says_why() -> None:
    precomputed = service("s", Projection("profile", ("age",)), refusal="it reads precomputed vectors")
    with pytest.raises(NotServableError, match="s cannot be served: it reads precomputed vectors"):
        compile_service(catalog(precomputed), precomputed, FakeStore())


def test_one_join_key_of_two_types_is_refused() -> None:
    other = ViewSpec("other", (FieldSpec(SHOP.name, "STRING"),), (FieldSpec("x", "INT64"),), None)
    with pytest.raises(NotServableError, match="shop_id is INT64 in one view and STRING in another"):
        compile_features(catalog(views=[visits, other]), ["visits:count", "other:x"], FakeStore())
