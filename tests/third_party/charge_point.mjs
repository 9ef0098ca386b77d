// A charge point for the tests on a client library that is not ours (npm: ocpp-rpc), which holds every message to the
// schemas that it brings along. It boots, charges a car, follows whatever profile it is given, and stops when asked.
//
//   node charge_point.mjs '{"url": "ws://…", "identity": "…", "password": "…", "protocol": "ocpp2.1", "idToken": "…"}'
//
// It ends with 0 after its transaction; with 3 if the central system sent what breaks a schema, which it then prints.
import {createRequire} from 'node:module';
import ocppRpc from 'ocpp-rpc';

const {RPCClient, createRPCError, createValidator} = ocppRpc;
const require = createRequire(import.meta.url);
// the library's validator remarks on the style of OCPP's own schemas
console.warn = () => {};
const given = JSON.parse(process.argv[2]);
const v16 = given.protocol === 'ocpp1.6';
const v21 = given.protocol === 'ocpp2.1';
const MAX_W = 11000;
const SAMPLE_MS = 250;
const PERIODS = '20';

// Version 2.2.1 of the library looks its schemas up as "urn:Action.req" and names those of 2.1 "urn:ActionRequest".
function validatorOf21() {
    const renamed = require('ocpp-rpc/lib/schemas/ocpp2_1.json').map((schema) => ({
        ...schema,
        $id: schema.$id.replace(/Request$/, '.req').replace(/Response$/, '.conf'),
    }));
    return createValidator('ocpp2.1', renamed);
}

const client = new RPCClient({
    endpoint: given.url,
    identity: given.identity,
    password: given.password,
    protocols: [given.protocol],
    strictMode: true,
    strictModeValidators: v21 ? [validatorOf21()] : [],
    reconnect: false,
});
const profiles = new Map();
let transactionId = null;
let stopping = null;
let importWh = 0;
let exportWh = 0;
let sequence = 0;

const now = () => new Date().toISOString();
const accepted = () => ({status: 'Accepted'});

client.on('strictValidationFailure', ({error, isCall, method}) => {
    console.error(`${method} ${isCall ? 'call' : 'answer'}: ${error.message} ${JSON.stringify(error.details ?? {})}`);
    process.exit(3);
});

// What the profiles say for now, in watts, positive into the car: the transaction's before the default, higher first.
function wantedW() {
    const at = Date.now();
    const rank = (profile) => (profile.chargingProfilePurpose === 'TxProfile' ? 1000 : 0) + profile.stackLevel;
    for (const profile of [...profiles.values()].sort((a, b) => rank(b) - rank(a))) {
        if (profile.validTo && Date.parse(profile.validTo) <= at) continue;
        if (profile.transactionId !== undefined && String(profile.transactionId) !== String(transactionId)) continue;
        const schedule = v16 ? profile.chargingSchedule : profile.chargingSchedule[0];
        const start = schedule.startSchedule ? Date.parse(schedule.startSchedule) : 0;
        const begun = schedule.chargingSchedulePeriod.filter((period) => start + 1000 * period.startPeriod <= at);
        if (!begun.length) continue;
        const period = begun.at(-1);
        if (period.operationMode === 'Idle') return 0;
        const value = period.setpoint ?? period.limit;
        return Math.min(schedule.chargingRateUnit === 'A' ? value * 230 * (period.numberPhases ?? 3) : value, MAX_W);
    }
    return MAX_W;
}

function install(profile) {
    const id = v16 ? profile.chargingProfileId : profile.id;
    if (v16) {
        for (const [other, held] of profiles) {
            const same = held.stackLevel === profile.stackLevel;
            if (same && held.chargingProfilePurpose === profile.chargingProfilePurpose) profiles.delete(other);
        }
    }
    profiles.set(id, profile);
    return accepted();
}

client.handle('SetChargingProfile', ({params}) => install(params.csChargingProfiles ?? params.chargingProfile));
client.handle('ClearChargingProfile', ({params}) =>
    profiles.delete(params.id ?? params.chargingProfileId) ? accepted() : {status: 'Unknown'});
client.handle('GetCompositeSchedule', ({params}) => {
    const watts = wantedW();
    const period = v21 && watts < 0 ? {setpoint: watts, operationMode: 'CentralSetpoint'} : {limit: watts};
    const schedule = {duration: params.duration, chargingRateUnit: 'W', chargingSchedulePeriod: [{startPeriod: 0, ...period}]};
    return v16
        ? {status: 'Accepted', connectorId: params.connectorId, scheduleStart: now(), chargingSchedule: schedule}
        : {status: 'Accepted', schedule: {evseId: params.evseId, scheduleStart: now(), ...schedule}};
});
client.handle('GetConfiguration', ({params}) => ({
    configurationKey: [{key: 'ChargingScheduleMaxPeriods', readonly: true, value: PERIODS}],
    unknownKey: params.key.filter((key) => key !== 'ChargingScheduleMaxPeriods'),
}));
client.handle('GetVariables', ({params}) => ({
    getVariableResult: params.getVariableData.map((asked) =>
        asked.variable.name === 'PeriodsPerSchedule'
            ? {...asked, attributeStatus: 'Accepted', attributeValue: PERIODS}
            : {...asked, attributeStatus: 'UnknownVariable'}),
}));
client.handle('NotifyAllowedEnergyTransfer', accepted);
client.handle('UpdateDynamicSchedule', ({params}) => {
    const profile = profiles.get(params.chargingProfileId);
    if (profile?.chargingProfileKind !== 'Dynamic') return {status: 'Rejected'};
    Object.assign(profile.chargingSchedule[0].chargingSchedulePeriod[0], params.scheduleUpdate);
    console.log(JSON.stringify({updated: params.scheduleUpdate}));
    return accepted();
});
for (const stop of ['RemoteStopTransaction', 'RequestStopTransaction']) {
    client.handle(stop, ({params}) => {
        if (String(params.transactionId) !== String(transactionId)) return {status: 'Rejected'};
        stopping();
        return accepted();
    });
}
client.handle(() => {
    throw createRPCError('NotImplemented');
});

function sampled(watts) {
    const values = [
        ['Power.Active.Import', Math.max(watts, 0), 'W'],
        ['Power.Active.Export', Math.max(-watts, 0), 'W'],
        ['Energy.Active.Import.Register', importWh, 'Wh'],
        ['Energy.Active.Export.Register', exportWh, 'Wh'],
    ];
    return [{
        timestamp: now(),
        sampledValue: values.map(([measurand, value, unit]) =>
            v16 ? {measurand, value: value.toFixed(3), unit} : {measurand, value, unitOfMeasure: {unit}}),
    }];
}

function event(eventType, more = {}) {
    return client.call('TransactionEvent', {
        eventType,
        timestamp: now(),
        triggerReason: 'MeterValuePeriodic',
        seqNo: sequence++,
        transactionInfo: {transactionId},
        evse: {id: 1, connectorId: 1},
        ...more,
    });
}

async function begin() {
    const token = {idToken: given.idToken, type: 'ISO14443'};
    if (v16) {
        await client.call('BootNotification', {chargePointVendor: 'ThirdParty', chargePointModel: 'Node'});
        await client.call('StatusNotification', {connectorId: 1, errorCode: 'NoError', status: 'Preparing'});
        const authorised = await client.call('Authorize', {idTag: given.idToken});
        if (authorised.idTagInfo.status !== 'Accepted') throw new Error('the token is refused');
        const started = await client.call('StartTransaction', {
            connectorId: 1, idTag: given.idToken, meterStart: 0, timestamp: now(),
        });
        transactionId = started.transactionId;
        return;
    }
    await client.call('BootNotification', {reason: 'PowerUp', chargingStation: {vendorName: 'ThirdParty', model: 'Node'}});
    await client.call('StatusNotification', {timestamp: now(), connectorStatus: 'Occupied', evseId: 1, connectorId: 1});
    const authorised = await client.call('Authorize', {idToken: token});
    if (authorised.idTokenInfo.status !== 'Accepted') throw new Error('the token is refused');
    transactionId = `node-${process.pid}`;
    await event('Started', {triggerReason: 'Authorized', idToken: token, meterValue: sampled(0)});
    if (v21) {
        if (!authorised.allowedEnergyTransfer.includes('AC_BPT')) throw new Error('discharging is not allowed');
        await client.call('NotifyEVChargingNeeds', {
            evseId: 1,
            timestamp: now(),
            chargingNeeds: {
                requestedEnergyTransfer: 'AC_BPT',
                controlMode: 'DynamicControl',
                v2xChargingParameters: {maxChargePower: MAX_W, maxDischargePower: 10000, targetSoC: 80},
            },
        });
    }
}

async function charge() {
    const stopped = new Promise((resolve) => { stopping = resolve; });
    const ended = stopped.then(() => true);
    while (!(await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, SAMPLE_MS, false))]))) {
        const watts = wantedW();
        if (watts >= 0) importWh += watts * SAMPLE_MS / 3.6e6; else exportWh -= watts * SAMPLE_MS / 3.6e6;
        if (v16) await client.call('MeterValues', {connectorId: 1, transactionId, meterValue: sampled(watts)});
        else await event('Updated', {meterValue: sampled(watts)});
    }
    if (v16) {
        await client.call('StopTransaction', {
            transactionId, meterStop: Math.round(importWh), timestamp: now(), reason: 'Remote',
        });
        await client.call('StatusNotification', {connectorId: 1, errorCode: 'NoError', status: 'Available'});
    } else {
        await event('Ended', {
            triggerReason: 'RemoteStop',
            transactionInfo: {transactionId, stoppedReason: 'Remote'},
            meterValue: sampled(0),
        });
        await client.call('StatusNotification', {timestamp: now(), connectorStatus: 'Available', evseId: 1, connectorId: 1});
    }
}

await client.connect();
await begin();
console.log(JSON.stringify({charging: String(transactionId)}));
await charge();
await client.close();
console.log(JSON.stringify({ended: String(transactionId), importWh, exportWh}));
process.exit(0);
