"""Codes of returns and notifications of change, and the ISO 20022 status reasons that mean the same.

The reasons are of the code set ExternalStatusReason1Code. Only where the definitions of both say the same thing; other
returns keep their R code. Titles follow the Nacha Operating Rules, Appendix Four and Five, in our words.
"""

from __future__ import annotations

RETURNS: dict[str, tuple[str, str]] = {
    "R01": ("AM04", "insufficient funds"),
    "R02": ("AC04", "account closed"),
    "R03": ("AC01", "no such account"),
    "R04": ("AC01", "account number of a wrong structure"),
    "R05": ("MD01", "debit of a consumer's account under a corporate entry class, not authorised"),
    "R06": ("FOCR", "returned at the request of the originating bank"),
    "R07": ("MD01", "authorisation revoked by the customer"),
    "R08": ("R08", "payment stopped"),
    "R09": ("AM04", "uncollected funds"),
    "R10": ("MD01", "the customer says it was not authorised"),
    "R11": ("R11", "the customer says it was not in accordance with the authorisation"),
    "R12": ("R12", "account moved to another bank"),
    "R13": ("RC01", "invalid routing number"),
    "R14": ("MD07", "representative payee deceased or unable to continue"),
    "R15": ("MD07", "beneficiary or account holder deceased"),
    "R16": ("AC06", "account frozen, or returned on an order of OFAC"),
    "R17": ("R17", "refused by the edit criteria of the bank's file, or questionable"),
    "R18": ("DT01", "improper effective entry date"),
    "R19": ("AM12", "amount field error"),
    "R20": ("AG01", "no account for such transactions"),
    "R21": ("R21", "invalid company identification"),
    "R22": ("R22", "invalid individual identification"),
    "R23": ("R23", "credit refused by the receiver"),
    "R24": ("AM05", "duplicate entry"),
    "R25": ("FF01", "addenda error"),
    "R26": ("FF01", "mandatory field error"),
    "R27": ("FF01", "trace number error"),
    "R28": ("RC01", "routing number wrong by its check digit"),
    "R29": ("MD01", "the corporate customer says it was not authorised"),
    "R30": ("R30", "the bank does not take part in check truncation"),
    "R31": ("R31", "permissible return of CCD and CTX, agreed between the banks"),
    "R32": ("R32", "the bank cannot settle"),
    "R33": ("R33", "return of an XCK entry"),
    "R34": ("AG01", "limited participation of the bank"),
    "R35": ("R35", "return of an improper debit"),
    "R36": ("R36", "return of an improper credit"),
    "R37": ("AM05", "source document presented for payment"),
    "R38": ("R38", "stop payment on the source document"),
    "R39": ("R39", "improper source document"),
    "R51": ("R51", "ineligible or improper RCK entry"),
    "R52": ("R52", "stop payment on an RCK entry"),
    "R53": ("AM05", "item and RCK entry presented for payment"),
    "R61": ("R61", "misrouted return"),
    "R67": ("AM05", "duplicate return"),
    "R68": ("R68", "untimely return"),
    "R69": ("FF01", "field error in a return"),
    "R80": ("FF01", "coding error of an IAT entry"),
    "R81": ("AG01", "the bank does not take part in the IAT programme"),
    "R82": ("RC01", "invalid identification of the foreign bank"),
    "R83": ("R83", "the foreign bank cannot settle"),
    "R84": ("R84", "not processed by the gateway"),
    "R85": ("AG01", "outbound international payment with another entry class than IAT"),
}
"""Return reason code -> (ISO reason, or the code itself where none means the same; what it says)."""

CHANGES = {
    "C01": "account number",
    "C02": "routing number",
    "C03": "routing number and account number",
    "C04": "name of the individual or receiving company",
    "C05": "transaction code",
    "C06": "account number and transaction code",
    "C07": "routing number, account number and transaction code",
    "C08": "identification of the receiving bank (IAT)",
    "C09": "individual identification number",
    "C13": "addenda format",
    "C14": "entry class for outbound international payments",
}
"""Change code -> what shall be changed from now on."""
