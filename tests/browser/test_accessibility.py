"""Every page, English and Japanese, light and dark, phone and desktop: nothing that axe finds, nothing wider than it is."""

from __future__ import annotations

import pytest

from tests.browser.conftest import AXE
from tests.portal_world import World

pytestmark = pytest.mark.browser

VISITOR = ["/", "/login/", "/sign-up/", "/nowhere/"]
OWNER = [
    "/my/",
    "/my/cars/{car}/goals/",
    "/my/cars/{car}/goals/?kind=once&ready_at=2026-01-01T00:00&target_percent=20&floor_percent=90",
    "/my/cars/{car}/plan/",
    "/my/cars/{car}/limits/",
    "/my/cars/{car}/charge-now/",
    "/my/cars/{car}/test/",
    "/my/cars/new/",
    "/my/consent/",
    "/my/earnings/",
    "/my/compute/",
    "/ops/",
]
OPERATOR = [
    "/ops/",
    "/ops/devices/",
    "/ops/devices/CP-00003/",
    "/ops/devices/CP-00003/?tab=trace",
    "/ops/devices/CP-00003/?tab=commands",
    "/ops/devices/PACK-001/",
    "/ops/events/",
    "/ops/events/{settled}/",
    "/ops/events/{settled}/settlement/",
    "/ops/books/",
    "/ops/rewards/",
    "/ops/events/{running}/",
    "/ops/events/new/",
    "/ops/plans/",
    "/ops/plans/{plan}/",
    "/ops/packs/",
    "/ops/packs/new/",
]
# pages that say why nothing is shown are looked at too; of any other that would be all that is looked at
OTHER_STATUS = {("visitor", "/nowhere/"): 404, ("owner", "/ops/"): 403}
COLOUR_RULES = ["color-contrast", "link-in-text-block"]
SHAPES = [(360, "light"), (360, "dark"), (1440, "light"), (1440, "dark")]


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize(("who", "addresses"), [("visitor", VISITOR), ("owner", OWNER), ("operator", OPERATOR)])
def test_pages_have_no_violation_and_fit_their_window(visit, world: World, language, who, addresses) -> None:
    user = {"visitor": None, "owner": world.owner_user, "operator": world.operator}[who]
    # the policy forbids injected script, axe included: it is switched off here and proven in another test
    page = visit(user, language, bypass_csp=True).new_page()
    found = []
    for template in addresses:
        address = template.format(
            car=world.vehicles[0].pk, settled=world.settled.pk, running=world.running.pk, plan=world.plan.pk
        )
        answer = page.goto(address)
        assert answer is not None and answer.status == OTHER_STATUS.get((who, address), 200), address
        page.wait_for_load_state("networkidle") if address == "/ops/" else None
        assert page.locator("h1").count() == 1, address
        assert page.locator("html").get_attribute("lang") == language
        page.add_script_tag(path=AXE)
        for width, scheme in SHAPES:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            # structure does not depend on the colour scheme: in the dark only what colours decide is looked at again
            rules = {"runOnly": {"type": "rule", "values": COLOUR_RULES}} if scheme == "dark" else {}
            result = page.evaluate("options => axe.run(document, options)", {"resultTypes": ["violations"], **rules})
            for violation in result["violations"]:
                nodes = [node["html"][:160] for node in violation["nodes"][:3]]
                found.append(f"{address} {width} {scheme}: {violation['id']} {nodes}")
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                found.append(f"{address} {width}: {wide} px wide")
    assert not found, "\n".join(found)
