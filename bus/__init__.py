"""girobus: the author API. Whoever writes an endpoint, a transform or a pattern imports from here and nowhere deeper.

Names are loaded on first use (PEP 562), so that ``bus --help`` does not pay for pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bus.described import Spec as Spec
    from bus.errors import BusError as BusError
    from bus.errors import ConfigError as ConfigError
    from bus.errors import Finding as Finding
    from bus.errors import Held as Held
    from bus.errors import InDoubt as InDoubt
    from bus.errors import Rejected as Rejected
    from bus.errors import Retryable as Retryable
    from bus.errors import Unavailable as Unavailable
    from bus.expressions import Expression as Expression
    from bus.expressions import NamedFunction as NamedFunction
    from bus.expressions import Simple as Simple
    from bus.expressions import compile_expression as compile_expression
    from bus.expressions import named_functions as named_functions
    from bus.expressions import path_text as path_text
    from bus.expressions import simple as simple
    from bus.folder import DropSpec as DropSpec
    from bus.folder import Folder as Folder
    from bus.folder import FolderEntry as FolderEntry
    from bus.folder import FolderSink as FolderSink
    from bus.folder import FolderSource as FolderSource
    from bus.folder import PickupSpec as PickupSpec
    from bus.identifiers import is_belgian_reference as is_belgian_reference
    from bus.identifiers import is_bic as is_bic
    from bus.identifiers import is_creditor_id as is_creditor_id
    from bus.identifiers import is_creditor_reference as is_creditor_reference
    from bus.identifiers import is_finnish_reference as is_finnish_reference
    from bus.identifiers import is_lei as is_lei
    from bus.identifiers import is_modulo11_account as is_modulo11_account
    from bus.identifiers import is_norwegian_reference as is_norwegian_reference
    from bus.identifiers import is_routing_number as is_routing_number
    from bus.identifiers import is_swedish_reference as is_swedish_reference
    from bus.identifiers import is_swiss_reference as is_swiss_reference
    from bus.identifiers import national_iban_problem as national_iban_problem
    from bus.identifiers import uetr_problem as uetr_problem
    from bus.message import Blob as Blob
    from bus.message import Branch as Branch
    from bus.message import Converted as Converted
    from bus.message import Effect as Effect
    from bus.message import Group as Group
    from bus.message import Headers as Headers
    from bus.message import Hold as Hold
    from bus.message import Join as Join
    from bus.message import Message as Message
    from bus.message import Onward as Onward
    from bus.message import OpenCase as OpenCase
    from bus.message import Progress as Progress
    from bus.message import Refuse as Refuse
    from bus.message import Register as Register
    from bus.message import Remember as Remember
    from bus.message import Resequence as Resequence
    from bus.message import Send as Send
    from bus.message import Sequence as Sequence
    from bus.message import business_keys as business_keys
    from bus.message import child_id as child_id
    from bus.message import get_field as get_field
    from bus.message import key_text as key_text
    from bus.message import moves_forward as moves_forward
    from bus.message import with_field as with_field
    from bus.money import Money as Money
    from bus.money import MoneyTotals as MoneyTotals
    from bus.money import minor_units as minor_units
    from bus.ports import BlobStore as BlobStore
    from bus.ports import BlobWriter as BlobWriter
    from bus.ports import Clock as Clock
    from bus.ports import DescribedInbound as DescribedInbound
    from bus.ports import Document as Document
    from bus.ports import EffectHook as EffectHook
    from bus.ports import EncodedRecords as EncodedRecords
    from bus.ports import Encoder as Encoder
    from bus.ports import EndpointResources as EndpointResources
    from bus.ports import FileConverter as FileConverter
    from bus.ports import FileRules as FileRules
    from bus.ports import Format as Format
    from bus.ports import Inbound as Inbound
    from bus.ports import InspectedDocument as InspectedDocument
    from bus.ports import InspectedTotal as InspectedTotal
    from bus.ports import Inspection as Inspection
    from bus.ports import Part as Part
    from bus.ports import Reader as Reader
    from bus.ports import Receipt as Receipt
    from bus.ports import RuleBook as RuleBook
    from bus.ports import Sink as Sink
    from bus.ports import Source as Source
    from bus.ports import Step as Step
    from bus.ports import StepResources as StepResources
    from bus.ports import Verdict as Verdict
    from bus.ports import WriteContext as WriteContext
    from bus.spec import AnyConnection as AnyConnection
    from bus.spec import AnyEndpoint as AnyEndpoint
    from bus.spec import AnyFormat as AnyFormat
    from bus.spec import AnyStep as AnyStep
    from bus.spec import ConnectionSpec as ConnectionSpec
    from bus.spec import Duration as Duration
    from bus.spec import EndpointSpec as EndpointSpec
    from bus.spec import ExpressionText as ExpressionText
    from bus.spec import FieldPath as FieldPath
    from bus.spec import Flow as Flow
    from bus.spec import FormatSpec as FormatSpec
    from bus.spec import FormulaText as FormulaText
    from bus.spec import Glob as Glob
    from bus.spec import PollSpec as PollSpec
    from bus.spec import SecretRef as SecretRef
    from bus.spec import Size as Size
    from bus.spec import StepSpec as StepSpec
    from bus.spec import Zone as Zone
    from bus.unreachable import why_unreachable as why_unreachable

_HOME = {
    "bus.described": "Spec",
    "bus.errors": "BusError ConfigError Finding Held InDoubt Rejected Retryable Unavailable",
    "bus.message": "Blob Branch Converted Effect "
    "Group Headers Hold Join Message Onward OpenCase Progress Refuse Register Remember Resequence "
    "Send Sequence business_keys child_id get_field key_text moves_forward with_field",
    "bus.money": "Money MoneyTotals minor_units",
    "bus.ports": "BlobStore BlobWriter Clock DescribedInbound Document EffectHook EncodedRecords Encoder "
    "EndpointResources FileConverter FileRules Format Inbound InspectedDocument InspectedTotal Inspection Part Reader "
    "Receipt RuleBook Sink Source Step StepResources Verdict WriteContext",
    "bus.spec": "AnyConnection AnyEndpoint AnyFormat AnyStep ConnectionSpec Duration EndpointSpec ExpressionText "
    "FieldPath Flow FormatSpec FormulaText Glob PollSpec SecretRef Size StepSpec Zone",
    "bus.expressions": "Expression NamedFunction Simple compile_expression named_functions path_text simple",
    "bus.identifiers": "is_belgian_reference is_bic is_creditor_id is_creditor_reference is_finnish_reference is_lei "
    "is_modulo11_account is_norwegian_reference is_routing_number is_swedish_reference "
    "is_swiss_reference national_iban_problem uetr_problem",
    "bus.unreachable": "why_unreachable",
    "bus.folder": "Folder FolderEntry FolderSink FolderSource PickupSpec DropSpec",
}
_WHERE = {name: module for module, names in _HOME.items() for name in names.split()}
__all__ = sorted(_WHERE)  # noqa: PLE0605 - the list follows from the table above, one place to change


def __getattr__(name: str) -> Any:
    try:
        module = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module 'bus' has no attribute {name!r}") from None
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return __all__
