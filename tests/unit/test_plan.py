"""Compiling plans: order, keys, inputs of on-demand views, and everything that is refused by name."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from app.domain import FeatureRef, FieldSpec, OnDemandSpec, OtherView, Projection, ViewSpec
from app.errors import InvalidRequestError, NotFoundError, NotServableError
from app.serving.planner import compile_features, compile_service
from tests.unit.catalogs import SHOP, USER, FakeStore, catalog, profile, scaled, service, visits


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
        ("profile:x", NotFoundError, r"profile has no feature x\. Known: age, name$"),
        ("scaled_age:x", NotFoundError, r"scaled_age has no feature x\. Known: scaled$"),
        ("profile@v3:age", NotFoundError, "profile has no version v3. Known: none"),
        ("profile", InvalidRequestError, "not valid"),
    ],
)
def test_unknown_references(reference: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        compile_features(catalog(), [reference], FakeStore())


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"enabled": False}, "it is disabled"), ({"online": False}, "online=False")],
)
def test_views_that_may_not_be_read(change: dict[str, bool], reason: str) -> None:
    changed = dataclasses.replace(profile, **change)  # type: ignore[arg-type]
    with pytest.raises(NotServableError, match=f"profile.*{reason}"):
        compile_features(catalog(views=[changed, visits]), ["profile:age"], FakeStore())


@pytest.mark.parametrize(
    ("change", "reason"), [({"limitation": "it aggregates"}, "it aggregates"), ({"enabled": False}, "disabled")]
)
def test_on_demand_views_that_may_not_be_computed(change: dict[str, object], reason: str) -> None:
    changed = dataclasses.replace(scaled, **change)  # type: ignore[arg-type]
    with pytest.raises(NotServableError, match=f"scaled_age.*{reason}"):
        compile_features(catalog(on_demand=[changed]), ["scaled_age:scaled"], FakeStore())


def test_a_view_of_another_kind_is_refused_by_name() -> None:
    labels = {"labels": OtherView("labels", "LabelView")}
    known = dataclasses.replace(catalog(), other_views=labels)
    for reference in ("labels:x", "labels@v1:x"):
        with pytest.raises(NotServableError, match=r"labels.* cannot be served: it is a LabelView"):
            compile_features(known, [reference], FakeStore())


def test_a_refusal_comes_before_what_else_is_wrong_with_it() -> None:
    """Feast's projection of an on-demand view may name its join keys as features, too."""
    refused = dataclasses.replace(scaled, limitation="it aggregates")
    both = service("s", Projection("scaled_age", ("user_id", "scaled")))
    with pytest.raises(NotServableError, match="it aggregates"):
        compile_service(catalog(both, on_demand=[refused]), both, FakeStore())


def test_a_service_that_cannot_be_served_says_why() -> None:
    precomputed = service("s", Projection("profile", ("age",)), refusal="it reads precomputed vectors")
    with pytest.raises(NotServableError, match="s cannot be served: it reads precomputed vectors"):
        compile_service(catalog(precomputed), precomputed, FakeStore())


def test_one_join_key_of_two_types_is_refused() -> None:
    other = ViewSpec("other", (FieldSpec(SHOP.name, "STRING"),), (FieldSpec("x", "INT64"),), None)
    with pytest.raises(NotServableError, match="shop_id is INT64 in one view and STRING in another"):
        compile_features(catalog(views=[visits, other]), ["visits:count", "other:x"], FakeStore())


OLD = ViewSpec(
    "profile", (USER, SHOP), (FieldSpec("age", "STRING"), FieldSpec("gone", "INT64")), timedelta(days=2), pinned=0
)
OLD_SCALED = dataclasses.replace(scaled, features=(FieldSpec("scaled", "DOUBLE"), FieldSpec("old", "DOUBLE")))
VERSIONS: dict[str, ViewSpec | OnDemandSpec] = {
    "profile@v0": OLD,
    "profile@v1": profile,
    "scaled_age@v0": OLD_SCALED,
    "scaled_age@v1": scaled,
}


def test_a_version_is_planned_with_its_own_schema_beside_the_one_in_force() -> None:
    references = ["profile@v0:age", "profile:age", "profile@v0:gone", "profile@v1:name"]
    plan = compile_features(catalog(versions=VERSIONS), references, FakeStore())
    assert [output.reference for output in plan.outputs] == references
    assert plan.names(full=True)[0] == "profile@v0__age"
    assert [(planned.shown_as, planned.view.stored_as, planned.features) for planned in plan.views] == [
        ("profile@v0", "profile@v0", ("age", "gone")),
        ("profile", "profile", ("age",)),
        # The version in force is read where it is stored, by whichever name it is asked for.
        ("profile@v1", "profile", ("name",)),
    ]
    assert [planned.view.ttl for planned in plan.views] == [OLD.ttl, profile.ttl, profile.ttl]
    assert [planned.key_columns for planned in plan.views] == [("user_id", "shop_id"), ("user_id",), ("user_id",)]


def test_a_service_pins_a_version_under_another_name() -> None:
    pinned = service("s", Projection("profile", ("gone",), alias="boss", version=0, join_key_map={"user_id": "boss"}))
    plan = compile_service(catalog(pinned, versions=VERSIONS), pinned, FakeStore())
    assert [output.reference for output in plan.outputs] == ["boss@v0:gone"]
    assert plan.views[0].key_columns == ("boss", "shop_id")


def test_versions_of_an_on_demand_view_are_computed_each_by_itself() -> None:
    plan = compile_features(
        catalog(versions=VERSIONS), ["scaled_age@v0:old", "scaled_age:scaled", "scaled_age@v1:scaled"], FakeStore()
    )
    assert [output.index for output in plan.outputs] == [0, 1, 2]
    assert [planned.spec for planned in plan.transforms] == [OLD_SCALED, scaled, scaled]
    assert [planned.shown_as for planned in plan.transforms] == ["scaled_age@v0", "scaled_age", "scaled_age@v1"]


def test_a_version_without_the_feature_and_an_unknown_version() -> None:
    with pytest.raises(NotFoundError, match="profile@v0 has no feature name"):
        compile_features(catalog(versions=VERSIONS), ["profile@v0:name"], FakeStore())
    with pytest.raises(NotFoundError, match=r"no version v7\. Known: profile@v0, profile@v1$"):
        compile_features(catalog(versions=VERSIONS), ["profile@v7:name"], FakeStore())


@pytest.mark.parametrize("change", [{"enabled": False}, {"online": False}])
def test_a_version_that_may_not_be_read(change: dict[str, bool]) -> None:
    changed = {"profile@v0": dataclasses.replace(OLD, **change)}  # type: ignore[arg-type]
    with pytest.raises(NotServableError, match="profile"):
        compile_features(catalog(versions=changed), ["profile@v0:age"], FakeStore())


def test_one_feature_under_two_spellings_is_asked_for_twice() -> None:
    for twice in (["profile:age", "profile@latest:age"], ["profile@v0:age", "profile@V0:age"]):
        with pytest.raises(InvalidRequestError) as error:
            compile_features(catalog(versions=VERSIONS), twice, FakeStore())
        assert [fault.field for fault in error.value.errors] == ["features[1]"]


def test_an_on_demand_view_is_no_input_of_another() -> None:
    nested = dataclasses.replace(scaled, name="nested", inputs=(FeatureRef("scaled_age", "scaled"),))
    with pytest.raises(NotServableError, match="scaled_age cannot be an input"):
        compile_features(catalog(on_demand=[scaled, nested]), ["nested:scaled"], FakeStore())
