/** A new network: NAT, or an existing Linux bridge. */

import { useLocation } from "preact-iso";
import { useCollection } from "../../api/use.ts";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { FieldRow } from "../../components/field.tsx";
import { NumberField, SegmentedField, SelectField, TextAreaField, TextField } from "../../components/fields.tsx";
import { type FieldErrors, useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { Notice } from "../../components/layout.tsx";
import { SubmitButton } from "../../components/submit-button.tsx";
import { ipv4ToNumber, subnetOf, suggestRange } from "../../lib/ipv4.ts";
import { fits, interfaceNamePattern, namePattern } from "../../lib/patterns.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { networks as t } from "../../strings/networks.ts";

export type NetworkValues = {
	name: string;
	description: string;
	kind: "nat" | "bridge";
	gateway: string;
	prefixLength: number | null;
	dhcpStart: string;
	dhcpEnd: string;
	bridge: string;
};

export function checkNetwork(values: NetworkValues): FieldErrors {
	const errors: FieldErrors = {};
	if (!fits(namePattern, values.name)) errors["/name"] = values.name === "" ? common.required : common.nameInvalid;
	if (values.kind === "bridge") {
		if (!fits(interfaceNamePattern, values.bridge)) errors["/config/bridge"] = t.bridgeInvalid;
		return errors;
	}
	const { prefixLength } = values;
	if (prefixLength === null || prefixLength < 8 || prefixLength > 30) {
		errors["/config/prefixLength"] = common.numberRange("8", "30");
	}
	const gateway = ipv4ToNumber(values.gateway);
	const start = ipv4ToNumber(values.dhcpStart);
	const end = ipv4ToNumber(values.dhcpEnd);
	if (gateway === null) errors["/config/gateway"] = t.ipv4Invalid;
	const subnet = subnetOf(values.gateway, prefixLength ?? 24);
	for (const [path, value] of [
		["/config/dhcpStart", start],
		["/config/dhcpEnd", end],
	] as const) {
		if (value === null) errors[path] = t.ipv4Invalid;
		else if (subnet && (value <= subnet.first || value >= subnet.last)) errors[path] = t.notInSubnet;
	}
	if (start !== null && end !== null) {
		if (end < start) errors["/config/dhcpEnd"] ??= t.dhcpOrder;
		else if (gateway !== null && gateway >= start && gateway <= end) errors["/config/dhcpStart"] ??= t.gatewayInRange;
	}
	return errors;
}

const otherBridge = " other";

export function CreateNetworkPanel({ onClose }: { onClose: () => void }) {
	const { route } = useLocation();
	const bridges = [...new Set(useCollection("node").items.value.flatMap(({ status }) => status.bridges))].sort();
	const form = useForm<NetworkValues>({
		initial: {
			name: "",
			description: "",
			kind: "nat",
			gateway: "192.168.130.1",
			prefixLength: 24,
			dhcpStart: "192.168.130.10",
			dhcpEnd: "192.168.130.254",
			bridge: bridges[0] ?? "",
		},
		validate: checkNetwork,
		async submit({ name, description, kind, gateway, prefixLength, dhcpStart, dhcpEnd, bridge }) {
			const config =
				kind === "nat" ? { kind, gateway, prefixLength: prefixLength ?? 24, dhcpStart, dhcpEnd } : { kind, bridge };
			const body = { name, config, ...(description === "" ? {} : { description }) };
			const { data } = await write("networkCreate", { body });
			onClose();
			route(href("network", { networkId: data.id }));
		},
	});
	const values = form.values.value;
	/** The range follows the gateway until it is typed. */
	const setSubnet = (change: Partial<NetworkValues>, field: string) => {
		const next = { ...values, ...change };
		const range = suggestRange(next.gateway, next.prefixLength ?? 24);
		form.set(range ? { ...change, dhcpStart: range.start, dhcpEnd: range.end } : change, field);
	};
	return (
		<Dialog
			kind="panel"
			title={t.create}
			onClose={onClose}
			dirty={form.dirty.value && !form.busy.value}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form}>{t.create}</SubmitButton>
				</>
			}
		>
			<FormError form={form} title={t.createFailed} />
			<TextField
				label={common.name}
				hint={common.nameHint}
				plain
				value={values.name}
				error={form.error("/name")}
				onInput={(name) => form.set({ name })}
			/>
			<SegmentedField
				label={t.kind}
				hint={t.kindHints[values.kind]}
				value={values.kind}
				choices={[
					{ value: "nat", label: t.kinds.nat },
					{ value: "bridge", label: t.kinds.bridge },
				]}
				onChange={(kind) => form.set({ kind })}
			/>
			{values.kind === "nat" ? (
				<>
					<FieldRow>
						<TextField
							label={t.gateway}
							hint={t.gatewayHint}
							plain
							value={values.gateway}
							error={form.error("/config/gateway")}
							onInput={(gateway) => setSubnet({ gateway: gateway.trim() }, "/config/gateway")}
						/>
						<NumberField
							label={t.prefixLength}
							min={8}
							max={30}
							value={values.prefixLength}
							error={form.error("/config/prefixLength")}
							onInput={(prefixLength) => setSubnet({ prefixLength }, "/config/prefixLength")}
						/>
					</FieldRow>
					<FieldRow>
						<TextField
							label={t.dhcpStart}
							plain
							value={values.dhcpStart}
							error={form.error("/config/dhcpStart")}
							onInput={(dhcpStart) => form.set({ dhcpStart: dhcpStart.trim() }, "/config/dhcpStart")}
						/>
						<TextField
							label={t.dhcpEnd}
							plain
							value={values.dhcpEnd}
							error={form.error("/config/dhcpEnd")}
							onInput={(dhcpEnd) => form.set({ dhcpEnd: dhcpEnd.trim() }, "/config/dhcpEnd")}
						/>
					</FieldRow>
				</>
			) : (
				<BridgeField
					bridges={bridges}
					value={values.bridge}
					error={form.error("/config/bridge")}
					onChange={(bridge) => form.set({ bridge }, "/config/bridge")}
				/>
			)}
			<TextAreaField
				label={common.description}
				optional
				value={values.description}
				error={form.error("/description")}
				onInput={(description) => form.set({ description })}
			/>
		</Dialog>
	);
}

type BridgeProps = {
	bridges: readonly string[];
	value: string;
	error: string | null;
	onChange: (bridge: string) => void;
};

function BridgeField({ bridges, value, error, onChange }: BridgeProps) {
	const known = bridges.includes(value);
	return (
		<>
			{bridges.length === 0 && <Notice tone="warning">{t.noBridges}</Notice>}
			{bridges.length > 0 && (
				<SelectField
					label={t.bridge}
					hint={t.bridgeHint}
					value={known ? value : otherBridge}
					choices={[
						...bridges.map((bridge) => ({ value: bridge, label: bridge })),
						{ value: otherBridge, label: t.otherBridge },
					]}
					onChange={(bridge) => onChange(bridge === otherBridge ? "" : bridge)}
				/>
			)}
			{!known && (
				<TextField
					label={t.bridge}
					plain
					value={value}
					error={error}
					hiddenLabel={bridges.length > 0}
					onInput={(bridge) => onChange(bridge.trim())}
				/>
			)}
		</>
	);
}
