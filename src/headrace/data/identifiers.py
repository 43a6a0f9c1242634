"""The kinds of identifiers that `headrace.data.personal` looks for: one line a kind.

Each has a shape (a whole-text pattern), often a checksum (a module of python-stdnum, LGPL-2.1-or-later, imported when
enough values have the shape), and the names that columns of its kind go by in several languages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Identifier:
    """One kind of identifier."""

    kind: str
    label: str
    pattern: str
    """What the whole value looks like, blanks around it aside."""
    module: str = ""
    """Of python-stdnum, below `stdnum.`: its `is_valid` computes the checksum."""
    chance: float = 0.1
    """How often a value of the shape that is no such identifier passes: one in ten for one check digit; 1 when the
    shape says nothing by itself, so that the column's name must say it."""
    names: tuple[str, ...] = ()
    """Words of a column's name that speak for the kind, in lower case with _ between them."""
    is_certain: bool = True
    """Whether shape and checksum are enough for high confidence without a name that says so."""


_SHAPE: Final = 1e-3
"""Of shapes that hardly anything else has."""
_ELEVEN: Final = 1 / 11
_NATIONAL: Final = (
    "national_id",
    "personal_id",
    "person_id",
    "identity_number",
    "id_number",
    "id_no",
    "id_card",
    "citizen_id",
    "tax_id",
    "tin",
    "ssn",
    "social_security",
)

IDENTIFIERS: Final = (
    Identifier(
        "email",
        "e-mail address",
        r"[A-Za-z0-9._%+'-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}",
        chance=_SHAPE,
        names=("email", "e_mail", "mail", "courriel", "correo"),
    ),
    Identifier(
        "ip-address",
        "IP address",
        r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)|[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*",
        chance=_SHAPE,
        names=("ip", "ipv4", "ipv6", "ip_address", "ipaddress", "remote_addr", "client_ip"),
    ),
    Identifier(
        "mac-address",
        "hardware address of a device",
        r"(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}",
        chance=_SHAPE,
        names=("mac", "mac_address", "bssid"),
    ),
    Identifier(
        "uuid",
        "UUID: of a device, a session or a person",
        r"\{?[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}\}?",
        chance=_SHAPE,
        names=("device", "user", "session", "cookie", "visitor", "idfa", "gaid", "aaid", "advertising", "customer"),
        is_certain=False,
    ),
    Identifier("imei", "IMEI of a telephone", r"\d{2}-?\d{6}-?\d{6}-?\d", "imei", names=("imei", "device", "handset")),
    Identifier(
        "phone",
        "telephone number",
        r"(?:\+|00)[1-9][0-9 ()./-]{6,18}[0-9]|\(\d{2,5}\) ?\d[0-9 -]{4,10}\d|\d{3}-\d{3}-\d{4}",
        chance=_SHAPE,
        names=("phone", "tel", "telephone", "mobile", "cell", "telefon", "handy", "msisdn", "fax", "telefono"),
    ),
    Identifier(
        "phone-digits",
        "telephone number",
        r"[+(]?\d[0-9 ()./-]{5,18}\d",
        chance=1.0,
        names=("phone", "tel", "telephone", "mobile", "cell", "telefon", "handy", "msisdn", "fax", "phone_number"),
    ),
    Identifier(
        "iban",
        "bank account (IBAN)",
        r"[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]){11,30}",
        "iban",
        chance=1 / 97,
        names=("iban", "bank_account", "account", "konto"),
    ),
    Identifier(
        "credit-card",
        "payment card number",
        r"(?:3[47]\d{2}[ -]?\d{6}[ -]?\d{5}"
        r"|(?:4\d{3}|5[1-5]\d{2}|2[2-7]\d{2}|6\d{3}|3[5-9]\d{2})(?:[ -]?\d{4}){3}"
        r"|3[068]\d{2}[ -]?\d{6}[ -]?\d{4})",
        "luhn",
        names=("card", "pan", "credit_card", "creditcard", "cc_number", "card_number"),
    ),
    Identifier(
        "vat",
        "VAT number, a person's where self-employed",
        r"(?:AT|BE|BG|CY|CZ|DE|DK|EE|EL|ES|FI|FR|HR|HU|IE|IT|LT|LU|LV|MT|NL|PL|PT|RO|SE|SI|SK|XI)[ -]?[A-Z0-9]{8,12}",
        "eu.vat",
        names=("vat", "vat_id", "vat_number", "ust_id", "tva"),
    ),
    Identifier(
        "us-ssn",
        "US social security number",
        r"\d{3}-\d{2}-\d{4}",
        "us.ssn",
        chance=_SHAPE,
        names=("ssn", "social_security", "tin", "tax_id"),
    ),
    Identifier(
        "us-ssn-digits",
        "US social security number",
        r"\d{9}",
        "us.ssn",
        chance=1.0,
        names=("ssn", "social_security", "social_security_number"),
    ),
    Identifier(
        "gb-nino",
        "UK national insurance number",
        r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]",
        chance=_SHAPE,
        names=("nino", "ni_number", "national_insurance", *_NATIONAL),
        is_certain=False,
    ),
    Identifier("gb-nhs", "UK NHS number", r"\d{3}[ -]?\d{3}[ -]?\d{4}", "gb.nhs", _ELEVEN, ("nhs", "nhs_number")),
    Identifier(
        "fr-nir",
        "French social security number",
        r"[12] ?\d{2} ?[0-9]{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}",
        "fr.nir",
        1 / 97,
        ("nir", "insee", "securite_sociale", "secu", *_NATIONAL),
    ),
    Identifier(
        "de-idnr",
        "German tax number",
        r"[1-9]\d ?\d{3} ?\d{3} ?\d{3}",
        "de.idnr",
        0.1,
        ("idnr", "steuer_id", "steuerid", *_NATIONAL),
    ),
    Identifier(
        "it-codice-fiscale",
        "Italian fiscal code",
        r"[A-Za-z]{6}[0-9LMNPQRSTUVlmnpqrstuv]{2}[A-Za-z][0-9A-Za-z]{2}[A-Za-z][0-9A-Za-z]{3}[A-Za-z]",
        "it.codicefiscale",
        _SHAPE,
        ("codice_fiscale", "cf", *_NATIONAL),
    ),
    Identifier("es-dni", "Spanish identity number", r"\d{8}-?[A-Za-z]", "es.dni", 1 / 23, ("dni", "nif", *_NATIONAL)),
    Identifier(
        "es-nie", "Spanish foreigner's number", r"[XYZxyz]-?\d{7}-?[A-Za-z]", "es.nie", 1 / 23, ("nie", *_NATIONAL)
    ),
    Identifier("pl-pesel", "Polish identity number", r"\d{11}", "pl.pesel", 0.04, ("pesel", *_NATIONAL)),
    Identifier(
        "nl-bsn",
        "Dutch citizen number",
        r"\d{4}\.?\d{2}\.?\d{3}",
        "nl.bsn",
        _ELEVEN,
        ("bsn", "burgerservicenummer", *_NATIONAL),
    ),
    Identifier(
        "se-personnummer",
        "Swedish identity number",
        r"(?:\d{2})?\d{6}[-+]\d{4}|(?:19|20)\d{10}",
        "se.personnummer",
        0.04,
        ("personnummer", *_NATIONAL),
    ),
    Identifier(
        "fi-hetu", "Finnish identity code", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]", "fi.hetu", _SHAPE, ("hetu", *_NATIONAL)
    ),
    Identifier("dk-cpr", "Danish CPR number", r"\d{6}-\d{4}", "dk.cpr", 0.3, ("cpr", *_NATIONAL)),
    Identifier(
        "no-fodselsnummer",
        "Norwegian birth number",
        r"\d{6} ?\d{5}",
        "no.fodselsnummer",
        0.01,
        ("fodselsnummer", "fnr", *_NATIONAL),
    ),
    Identifier(
        "be-nn",
        "Belgian national number",
        r"\d{2}\.?\d{2}\.?\d{2}[-.]?\d{3}[-.]?\d{2}",
        "be.nn",
        1 / 97,
        ("rijksregister", "nn", *_NATIONAL),
    ),
    Identifier("ch-ahv", "Swiss AHV number", r"756\.?\d{4}\.?\d{4}\.?\d{2}", "ch.ssn", 0.1, ("ahv", "avs", *_NATIONAL)),
    Identifier(
        "cz-rc", "Czech or Slovak birth number", r"\d{6}/?\d{4}", "cz.rc", 0.04, ("rc", "rodne_cislo", *_NATIONAL)
    ),
    Identifier("bg-egn", "Bulgarian identity number", r"\d{10}", "bg.egn", 0.04, ("egn", *_NATIONAL)),
    Identifier("ro-cnp", "Romanian personal code", r"[1-9]\d{12}", "ro.cnp", 0.03, ("cnp", *_NATIONAL)),
    Identifier("hr-oib", "Croatian personal number", r"\d{11}", "hr.oib", 0.1, ("oib", *_NATIONAL)),
    Identifier(
        "ee-ik",
        "Estonian or Lithuanian personal code",
        r"[1-8]\d{10}",
        "ee.ik",
        0.04,
        ("isikukood", "asmens_kodas", "ik", *_NATIONAL),
    ),
    Identifier(
        "pt-nif", "Portuguese tax number", r"[1-9]\d{8}", "pt.nif", _ELEVEN, ("nif", "contribuinte", *_NATIONAL)
    ),
    Identifier("gr-amka", "Greek social security number", r"\d{11}", "gr.amka", 0.04, ("amka", *_NATIONAL)),
    Identifier("ie-pps", "Irish PPS number", r"\d{7}[A-W][A-IW]?", "ie.pps", 1 / 23, ("pps", "ppsn", *_NATIONAL)),
    Identifier(
        "at-vnr", "Austrian insurance number", r"[1-9]\d{3} ?\d{6}", "at.vnr", 0.04, ("vnr", "svnr", *_NATIONAL)
    ),
    Identifier(
        "is-kennitala", "Icelandic identity number", r"\d{6}-?\d{4}", "is_.kennitala", 0.02, ("kennitala", *_NATIONAL)
    ),
    Identifier("si-emso", "Slovenian EMŠO", r"\d{13}", "si.emso", 0.03, ("emso", *_NATIONAL)),
    Identifier("br-cpf", "Brazilian CPF", r"\d{3}\.?\d{3}\.?\d{3}-?\d{2}", "br.cpf", 0.01, ("cpf", *_NATIONAL)),
    Identifier(
        "mx-curp", "Mexican CURP", r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[0-9A-Z]\d", "mx.curp", _SHAPE, ("curp", *_NATIONAL)
    ),
    Identifier(
        "ar-cuit",
        "Argentine CUIT",
        r"(?:20|23|24|27|30|33|34)-?\d{8}-?\d",
        "ar.cuit",
        _ELEVEN,
        ("cuit", "cuil", *_NATIONAL),
    ),
    Identifier("cl-rut", "Chilean RUT", r"\d{1,2}\.?\d{3}\.?\d{3}-[0-9Kk]", "cl.rut", _ELEVEN, ("rut", *_NATIONAL)),
    Identifier(
        "in-aadhaar",
        "Indian Aadhaar number",
        r"[2-9]\d{3} ?\d{4} ?\d{4}",
        "in_.aadhaar",
        0.1,
        ("aadhaar", "aadhar", *_NATIONAL),
    ),
    Identifier("in-pan", "Indian PAN", r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]", "in_.pan", _SHAPE, ("pan", *_NATIONAL)),
    Identifier(
        "cn-ric", "Chinese identity number", r"[1-9]\d{16}[0-9Xx]", "cn.ric", 0.01, ("ric", "shenfenzheng", *_NATIONAL)
    ),
    Identifier("kr-rrn", "South Korean registration number", r"\d{6}-?[0-9]\d{6}", "kr.rrn", 0.03, ("rrn", *_NATIONAL)),
    Identifier(
        "jp-my-number",
        "Japanese My Number",
        r"\d{4} ?\d{4} ?\d{4}",
        "jp.in_",
        _ELEVEN,
        ("my_number", "mynumber", *_NATIONAL),
    ),
    Identifier(
        "za-idnr", "South African identity number", r"\d{6} ?\d{4} ?\d{3}", "za.idnr", 0.03, ("rsa_id", *_NATIONAL)
    ),
    Identifier(
        "tr-tckimlik", "Turkish identity number", r"[1-9]\d{10}", "tr.tckimlik", 0.01, ("tc_kimlik", "tckn", *_NATIONAL)
    ),
    Identifier("il-idnr", "Israeli identity number", r"\d{9}", "il.idnr", 0.1, ("teudat_zehut", *_NATIONAL)),
    Identifier(
        "ca-sin",
        "Canadian social insurance number",
        r"[1-79]\d{2}[ -]?\d{3}[ -]?\d{3}",
        "ca.sin",
        0.1,
        ("sin", *_NATIONAL),
    ),
    Identifier("au-tfn", "Australian tax file number", r"\d{3} ?\d{3} ?\d{3}", "au.tfn", _ELEVEN, ("tfn", *_NATIONAL)),
    Identifier(
        "nz-ird", "New Zealand IRD number", r"(?:\d{2}|1\d{2})-?\d{3}-?\d{3}", "nz.ird", _ELEVEN, ("ird", *_NATIONAL)
    ),
    Identifier(
        "my-nric", "Malaysian identity number", r"\d{6}-\d{2}-\d{4}", "my.nric", _SHAPE, ("nric", "mykad", *_NATIONAL)
    ),
    Identifier(
        "th-pin", "Thai identity number", r"[1-8]-?\d{4}-?\d{5}-?\d{2}-?\d", "th.pin", _ELEVEN, ("pin", *_NATIONAL)
    ),
    Identifier(
        "passport",
        "passport number",
        r"[A-Z]{0,2}\d{6,9}|[CFGHJK][0-9CFGHJKLMNPRTVWXYZ]{8}",
        chance=1.0,
        names=("passport", "passport_no", "passport_number", "reisepass"),
    ),
    Identifier(
        "street-address",
        "street address",
        r".*\p{L}{2,}.*\d.*|.*\d.*\p{L}{2,}.*",
        chance=1.0,
        names=("address", "addr", "street", "strasse", "direccion", "adresse", "indirizzo"),
    ),
)

_GIVEN: Final = (
    "james john robert michael william david richard joseph thomas charles christopher daniel matthew anthony "
    "mark paul steven andrew kenneth george joshua kevin brian edward ronald timothy jason jeffrey ryan jacob "
    "gary nicholas eric stephen jonathan larry justin scott brandon benjamin samuel gregory frank alexander "
    "raymond patrick jack dennis jerry tyler aaron jose adam nathan henry douglas zachary peter kyle noah ethan "
    "jeremy walter christian keith roger mary patricia jennifer linda elizabeth barbara susan jessica sarah karen "
    "lisa nancy betty sandra margaret ashley kimberly emily donna michelle carol amanda melissa deborah stephanie "
    "dorothy rebecca sharon laura cynthia amy kathleen angela shirley brenda emma anna pamela nicole samantha "
    "katherine christine helen debra rachel carolyn janet maria catherine heather diane olivia julie joyce "
    "victoria ruth virginia lauren kelly christina joan evelyn hans klaus jürgen wolfgang stefan andreas thorsten "
    "sabine monika petra ursula heike birgit claudia katrin anke jean pierre michel philippe alain nicolas "
    "françois marie nathalie isabelle sylvie sophie camille chloé léa hugo juan carlos luis miguel javier antonio "
    "manuel francisco carmen josé ana isabel lucía sofía pedro diego pablo giovanni giuseppe marco luca francesco "
    "alessandro giulia chiara paola sara matteo lorenzo elena valentina jan piotr andrzej krzysztof agnieszka "
    "katarzyna małgorzata tomasz paweł lars erik karin ingrid johan anders mohammed muhammad ahmed ali fatima "
    "aisha omar hassan ibrahim yusuf mehmet mustafa ayşe wei ming li jing hiroshi yuki sakura takashi raj priya "
    "amit anita sanjay rahul deepak sunita vijay olga ivan natalia sergei dmitri svetlana tatiana alexei oliver "
    "harry amelia isla ava mia liam lucas mason logan sebastian mateo leo finn felix joão paulo fernanda beatriz "
    "rafael gabriel bruno thiago"
)
GIVEN_NAMES: Final = frozenset(_GIVEN.split())
"""Frequent given names of many countries, to tell a list of people from a list of firms or places."""
