"""Bodies of the credit routes, as the seed has them (C-01)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from rest_framework import serializers

from credits.api import examples
from credits.states import MAX_AMOUNT_CREDITS, EntryKind
from flagship.api.serializers import PageQuery, StrictSerializer
from jobs.ids import MalformedId, id_pattern, parse_public_id, public_id


class ReservationIdField(serializers.CharField):
    """`res_` and 32 hex digits on the wire, a UUID inside."""

    def to_internal_value(self, data: Any) -> Any:
        """Read the id.

        Raises: ValidationError.
        """
        try:
            return parse_public_id("res", super().to_internal_value(data))
        except MalformedId as error:
            raise serializers.ValidationError("Not a reservation id.") from error

    def to_representation(self, value: Any) -> str:
        """Write the id."""
        return public_id("res", uuid.UUID(str(value)))


class ReservationIdShape(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]  # its metaclass is untyped
    """Tells the documentation what such an id looks like."""

    target_class = ReservationIdField

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"type": "string", "pattern": id_pattern("res")}


class ReserveBody(StrictSerializer):
    """What to reserve, and for which build."""

    example = examples.RESERVE

    build_id = serializers.CharField(max_length=100)
    estimated_credits = serializers.IntegerField(min_value=1, max_value=MAX_AMOUNT_CREDITS)
    user_id = serializers.CharField(max_length=100)
    idempotency_key = serializers.CharField(
        required=False,
        min_length=16,
        max_length=255,
        help_text="Stands in for the Idempotency-Key header; where both are sent they agree.",
    )


class ReserveAnswer(StrictSerializer):
    """The hold; `expires` is UTC."""

    example = examples.RESERVED

    reservation_id = ReservationIdField()
    reserved = serializers.IntegerField(source="amount_credits")
    expires = serializers.DateTimeField(source="expires_at")


class CommitBody(StrictSerializer):
    """What the build used."""

    example = examples.COMMIT

    reservation_id = ReservationIdField()
    actual_credits = serializers.IntegerField(min_value=0, max_value=MAX_AMOUNT_CREDITS)
    build_id = serializers.CharField(max_length=100, required=False)


class CommitAnswer(StrictSerializer):
    """What was taken and what went back; `newBalance` is available for reservations."""

    example = examples.COMMITTED

    charged = serializers.IntegerField()
    refunded = serializers.IntegerField()
    new_balance = serializers.IntegerField()


class ReleaseBody(StrictSerializer):
    """Which hold to give back, and why."""

    example = examples.RELEASE

    reservation_id = ReservationIdField()
    reason = serializers.CharField(max_length=200)


class ReleaseAnswer(StrictSerializer):
    """What went back; `newBalance` is available for reservations."""

    example = examples.RELEASED

    released = serializers.IntegerField()
    new_balance = serializers.IntegerField()


class AccountAnswer(StrictSerializer):
    """`available` is `balance` less what live reservations hold."""

    example = examples.ACCOUNT

    balance = serializers.IntegerField()
    reserved = serializers.IntegerField()
    available = serializers.IntegerField()


class AccountQuery(StrictSerializer):
    """When to look."""

    at = serializers.DateTimeField(
        required=False, help_text="A time that is over: the balance as the ledger stood then."
    )

    def validate_at(self, value: datetime) -> datetime:
        """Refuse a time to come: nobody knows."""
        if value > datetime.now(UTC):
            raise serializers.ValidationError("Must not lie in the future.")
        return value


class StatementQuery(StrictSerializer):
    """Where to go on."""

    after_seq = serializers.IntegerField(
        required=False,
        default=-1,
        min_value=-1,
        max_value=2**62,
        help_text="Number of the last entry you have; a stream that broke off goes on behind it.",
    )


class EntryQuery(PageQuery):
    """What entries can be narrowed down by."""

    kind = serializers.ChoiceField(choices=EntryKind.choices, required=False)


class EntryAnswer(StrictSerializer):
    """One movement of the account."""

    example = examples.ENTRY

    seq = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=EntryKind.choices)
    reservation_id = ReservationIdField(allow_null=True)
    balance_delta = serializers.IntegerField()
    balance_after = serializers.IntegerField()
    reserved_delta = serializers.IntegerField()
    reserved_after = serializers.IntegerField()
    original_seq = serializers.IntegerField(
        allow_null=True, help_text="The grant that lapsed, the grant or charge that was reversed."
    )
    priority = serializers.IntegerField(
        allow_null=True, help_text="Of a grant: lower is burnt first."
    )
    lapses_at = serializers.DateTimeField(
        allow_null=True, help_text="Of a grant: until when it can be used; null for ever."
    )
    reason = serializers.CharField()
    created_at = serializers.DateTimeField()
