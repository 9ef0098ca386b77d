"""Addresses of the portal."""

from django.urls import path

from aggregator.portal.views import (
    accounts,
    compute,
    consent,
    der,
    devices,
    earnings,
    enrol,
    events,
    goals,
    live,
    now,
    packs,
    plan,
    public,
    settlement,
)

app_name = "portal"

urlpatterns = [
    path("", public.home, name="home"),
    path("login/", accounts.log_in, name="login"),
    path("logout/", accounts.log_out, name="logout"),
    path("sign-up/", accounts.sign_up, name="sign-up"),
    path("my/", now.now_page, name="my-now"),
    path("my/cars/new/", enrol.enrol, name="my-enrol"),
    path("my/cars/new/<int:step>/", enrol.enrol, name="my-enrol-step"),
    path("my/cars/<int:vehicle_id>/test/", enrol.test, name="my-test"),
    path("my/cars/<int:vehicle_id>/goals/", goals.goals, name="my-goals"),
    path("my/cars/<int:vehicle_id>/plan/", plan.plan, name="my-plan"),
    path("my/cars/<int:vehicle_id>/charge-now/", goals.charge_now_page, name="my-charge-now"),
    path("my/cars/<int:vehicle_id>/charge-now/undo/", goals.undo, name="my-undo"),
    path("my/earnings/", earnings.earnings, name="my-earnings"),
    path("my/consent/", consent.consent, name="my-consent"),
    path("my/compute/", compute.compute, name="my-compute"),
    path("ops/", live.live, name="ops-live"),
    path("ops/devices/", devices.device_list, name="ops-devices"),
    path("ops/devices/<path:identity>/der/", der.der_page, name="ops-der"),
    path("ops/devices/<path:identity>/der/report/", der.ask_report, name="ops-der-report"),
    path("ops/devices/<path:identity>/der/<str:control_id>/clear/", der.clear, name="ops-der-clear"),
    path("ops/devices/<path:identity>/", devices.device_page, name="ops-device"),
    path("ops/packs/", packs.packs, name="ops-packs"),
    path("ops/packs/new/", packs.new_pack, name="ops-pack-new"),
    path("ops/packs/test/", packs.new_capacity_test, name="ops-pack-test"),
    path("ops/events/", events.event_list, name="ops-events"),
    path("ops/events/new/", events.new_event, name="ops-event-new"),
    path("ops/events/<int:event_id>/", events.event_page, name="ops-event"),
    path("ops/events/<int:event_id>/call-off/", events.call_off, name="ops-event-call-off"),
    path("ops/events/<int:event_id>/settlement/", settlement.settlement_page, name="ops-settlement"),
    path("ops/events/<int:event_id>/settlement/dispute/", settlement.dispute, name="ops-settlement-dispute"),
    path(
        "ops/events/<int:event_id>/settlement/disputes/<int:dispute_id>/",
        settlement.resolve,
        name="ops-settlement-resolve",
    ),
    path(
        "ops/events/<int:event_id>/settlement/checks/<int:check_id>/",
        settlement.review,
        name="ops-settlement-review",
    ),
]
