"""
What a site must know of the rules it dials by, and no figure can say: consent, safe harbours, and
tables that end. Not legal advice; each sentence names its paragraph.
"""

from datetime import date

from autodial.config.fields import preset_of
from autodial.config.rules import ClientConfig, PaceConfig
from autodial.config.settings import Config
from autodial.findings import Finding
from autodial.rules import regions
from autodial.rules.time_zone_data import ZoneData


def notes(config: Config, zones: ZoneData, today: date) -> tuple[Finding, ...]:
    """For ``doctor``, and for the log at the start."""
    findings = [_zones(zones, today)]
    russia = "RU" in config.phones.countries or config.phones.region == "RU"
    if russia and not config.rules.consent_field:
        findings.append(Finding("law.consent", "", False))
    if russia and (unknown := _without_acts(today.year)):
        findings.append(Finding("law.days", f"{today.year}: {', '.join(unknown)}", False))
    preset, ratio = config.client.preset, config.pace.dial_ratio
    if own := _own_figures(config):
        findings.append(Finding("law.own", f"{preset}: {', '.join(own)}", False))
    if preset == "uk-ofcom" and ratio > 1:
        findings.append(Finding("law.no harbour", f"{ratio:g}", False))
    if preset == "us-ftc" and ratio > 1:
        findings.append(Finding("law.harbour", f"{ratio:g}", False))
    return tuple(findings)


def _own_figures(config: Config) -> list[str]:
    """Keys that say something else than the preset, which quotes a law."""
    preset = preset_of({"preset": config.client.preset})
    pace = preset.pop("pace", {})
    theirs = ClientConfig.model_validate({"preset": config.client.preset})
    law = PaceConfig.model_validate(pace)
    return [
        *(f"client.{key}" for key in preset if getattr(theirs, key) != getattr(config.client, key)),
        *(f"pace.{key}" for key in pace if getattr(law, key) != getattr(config.pace, key)),
    ]


def _zones(zones: ZoneData, today: date) -> Finding:
    whose = "tzdata" if zones.package else "system"
    used = f"{zones.version} ({whose}; system {zones.system or '-'})"
    return Finding("zones.old" if zones.year < today.year else "zones.used", used, False)


def _without_acts(year: int) -> list[str]:
    """Subjects of Russia whose movable days off of a year are computed."""
    return [
        code for code, one in regions.subjects().items() if one.movable and year not in one.yearly
    ]
