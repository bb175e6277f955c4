"""Money: amounts are whole minor units of an ISO 4217 currency; this says how many make a unit, and writes them out.

Source of the decimals: ISO 4217, list one as published on 2026-01-01 by SIX, without the metals, units of account and
test codes that have no minor unit there.
"""

from __future__ import annotations

_CODES_BY_DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW "
    "CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR "
    "ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV "
    "MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD "
    "SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
#: Currency code -> decimals of its minor unit: 2 for USD, whose minor unit is the cent; 0 for JPY.
MINOR_UNIT_DIGITS = {code: digits for digits, codes in _CODES_BY_DIGITS.items() for code in codes.split()}


def in_units(amount_cents: float, currency: str) -> float:
    """Return an amount of minor units in units of the currency: 1250 is 12.5 USD and 1250.0 JPY.

    For figures such as means; what is owed stays in whole minor units. Raises KeyError for a currency that is none.
    """
    return amount_cents / 10.0 ** MINOR_UNIT_DIGITS[currency]


def money_text(amount_cents: float, currency: str) -> str:
    """Return an amount of minor units as text with the decimals of its currency, such as "1,234.50 USD"."""
    return f"{in_units(amount_cents, currency):,.{MINOR_UNIT_DIGITS[currency]}f} {currency}"
