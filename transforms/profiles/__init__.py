"""Rule books of schemes and banks as dated data: what a payment has to keep beyond its canonical model."""

from transforms.profiles.addresses import kind_of
from transforms.profiles.library import Profiles, shipped, shipped_texts, unknown_fields
from transforms.profiles.profile import Dated, Edition, Profile
from transforms.profiles.prose import Demand, demands
from transforms.profiles.specs import EditionSpec, ProfileSpec, RulesSpec

__all__ = [
    "Dated",
    "Demand",
    "Edition",
    "EditionSpec",
    "Profile",
    "ProfileSpec",
    "Profiles",
    "RulesSpec",
    "demands",
    "kind_of",
    "shipped",
    "shipped_texts",
    "unknown_fields",
]
