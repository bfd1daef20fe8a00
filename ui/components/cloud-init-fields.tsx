/** The fields of cloud-init, for creating a VM and for its settings. */
import { Plus, Trash2 } from "lucide-preact";
import { type CloudInitForm, emptyUser, type GuestUser, nobodyCanSignIn } from "../lib/cloud-init.ts";
import { addressPattern, cidrPattern, packagePattern } from "../lib/patterns.ts";
import { cloudInit as t } from "../strings/settings.ts";
import { Button } from "./button.tsx";
import { FieldGroup } from "./field.tsx";
import { CheckboxField, SegmentedField, TextAreaField, TextField, WordsField } from "./fields.tsx";
import { Notice } from "./layout.tsx";
import "./cloud-init-fields.css";

type Props = {
	value: CloudInitForm;
	/** `field` is the pointer of what was changed. */
	onChange: (value: CloudInitForm, field: string) => void;
	error: (field: string) => string | null;
	base?: string;
};

export function CloudInitFields({ value, onChange, error, base = "/cloudInit" }: Props) {
	const set = (change: Partial<CloudInitForm>, field: string) => onChange({ ...value, ...change }, `${base}${field}`);
	return (
		<>
			<SegmentedField
				label={t.kind}
				hint={t.text}
				value={value.kind}
				choices={[
					{ value: "none", label: t.kinds.none },
					{ value: "form", label: t.kinds.form },
					{ value: "raw", label: t.kinds.raw },
				]}
				onChange={(kind) => set({ kind }, "/kind")}
			/>
			{value.kind === "raw" && (
				<>
					<TextAreaField
						label={t.userData}
						hint={t.userDataHint}
						rows={8}
						mono
						plain
						value={value.userData}
						error={error(`${base}/userData`)}
						onInput={(userData) => set({ userData }, "/userData")}
					/>
					<TextAreaField
						label={t.metaData}
						optional
						mono
						plain
						value={value.metaData}
						error={error(`${base}/metaData`)}
						onInput={(metaData) => set({ metaData }, "/metaData")}
					/>
					<TextAreaField
						label={t.networkConfig}
						optional
						mono
						plain
						value={value.networkConfig}
						error={error(`${base}/networkConfig`)}
						onInput={(networkConfig) => set({ networkConfig }, "/networkConfig")}
					/>
				</>
			)}
			{value.kind === "form" && <FormKind value={value} set={set} error={(field) => error(`${base}${field}`)} />}
		</>
	);
}

type FormKindProps = {
	value: CloudInitForm;
	set: (change: Partial<CloudInitForm>, field: string) => void;
	error: (field: string) => string | null;
};

function FormKind({ value, set, error }: FormKindProps) {
	const setUser = (index: number, change: Partial<GuestUser>, field: string) =>
		set(
			{ users: value.users.map((user, other) => (other === index ? { ...user, ...change } : user)) },
			`/users/${index}/${field}`,
		);
	return (
		<>
			{nobodyCanSignIn(value) && <Notice tone="warning">{t.noLogin}</Notice>}
			{value.users.map((user, index) => (
				<UserFields
					key={index}
					user={user}
					number={index + 1}
					onChange={(change, field) => setUser(index, change, field)}
					onRemove={() => set({ users: value.users.filter((_, other) => other !== index) }, "/users")}
					error={(field) => error(`/users/${index}/${field}`)}
				/>
			))}
			<div>
				<Button small icon={Plus} onClick={() => set({ users: [...value.users, emptyUser()] }, "/users")}>
					{t.addUser}
				</Button>
			</div>
			<TextField
				label={t.hostname}
				optional
				plain
				hint={t.hostnameHint}
				value={value.hostname}
				error={error("/hostname")}
				onInput={(hostname) => set({ hostname }, "/hostname")}
			/>
			<WordsField
				label={t.packages}
				optional
				hint={t.packagesHint}
				values={value.packages}
				pattern={packagePattern}
				invalidText={t.packageInvalid}
				error={error("/packages")}
				onChange={(packages) => set({ packages }, "/packages")}
			/>
			<SegmentedField
				label={t.network}
				value={value.networkKind}
				choices={[
					{ value: "default", label: t.networkKinds.default },
					{ value: "dhcp", label: t.networkKinds.dhcp },
					{ value: "static", label: t.networkKinds.static },
				]}
				onChange={(networkKind) => set({ networkKind }, "/network")}
			/>
			{value.networkKind === "static" && (
				<>
					<WordsField
						label={t.addresses}
						hint={t.addressesHint}
						values={value.addresses}
						pattern={cidrPattern}
						invalidText={t.addressInvalid}
						error={error("/network/addresses")}
						onChange={(addresses) => set({ addresses }, "/network/addresses")}
					/>
					<TextField
						label={t.gateway}
						optional
						plain
						value={value.gateway}
						error={error("/network/gateway4")}
						onInput={(gateway) => set({ gateway }, "/network/gateway4")}
					/>
				</>
			)}
			{value.networkKind !== "default" && (
				<WordsField
					label={t.nameservers}
					optional
					values={value.nameservers}
					pattern={addressPattern}
					invalidText={t.nameserverInvalid}
					error={error("/network/nameservers")}
					onChange={(nameservers) => set({ nameservers }, "/network/nameservers")}
				/>
			)}
		</>
	);
}

type UserProps = {
	user: GuestUser;
	number: number;
	onChange: (change: Partial<GuestUser>, field: string) => void;
	onRemove: () => void;
	error: (field: string) => string | null;
};

function UserFields({ user, number, onChange, onRemove, error }: UserProps) {
	return (
		<div class="guest-user">
			<FieldGroup title={t.user(number)}>
				<TextField
					label={t.userName}
					plain
					value={user.name}
					error={error("name")}
					onInput={(name) => onChange({ name }, "name")}
				/>
				<TextAreaField
					label={t.sshKeys}
					optional
					hint={t.sshKeysHint}
					mono
					plain
					value={user.sshKeys}
					error={error("sshKeys")}
					onInput={(sshKeys) => onChange({ sshKeys }, "sshKeys")}
				/>
				<SegmentedField
					label={t.passwordKind}
					value={user.passwordKind}
					choices={[
						{ value: "none", label: t.passwordKinds.none },
						{ value: "password", label: t.passwordKinds.password },
						{ value: "hash", label: t.passwordKinds.hash },
					]}
					onChange={(passwordKind) => onChange({ passwordKind }, "passwordKind")}
				/>
				{user.passwordKind === "password" && (
					<TextField
						label={t.password}
						type="password"
						autoComplete="new-password"
						hint={t.passwordHint}
						value={user.password}
						error={error("password")}
						onInput={(password) => onChange({ password }, "password")}
					/>
				)}
				{user.passwordKind === "hash" && (
					<TextField
						label={t.passwordHash}
						hint={t.passwordHashHint}
						mono
						plain
						value={user.passwordHash}
						error={error("passwordHash")}
						onInput={(passwordHash) => onChange({ passwordHash: passwordHash.trim() }, "passwordHash")}
					/>
				)}
				<CheckboxField label={t.sudo} checked={user.sudo} onChange={(sudo) => onChange({ sudo }, "sudo")} />
			</FieldGroup>
			<div>
				<Button small kind="ghost" icon={Trash2} onClick={onRemove}>
					{t.removeUser(user.name || String(number))}
				</Button>
			</div>
		</div>
	);
}
