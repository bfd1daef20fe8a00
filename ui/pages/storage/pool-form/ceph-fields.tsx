/** How a Ceph pool is reached; monitors, user and key can be pasted as the files that the cluster's administrator hands out. */
import { useState } from "preact/hooks";
import { parseCephConf, parseKeyring } from "../../../../src/model/ceph-conf.ts";
import { FieldRow } from "../../../components/field.tsx";
import { TextAreaField, TextField, WordsField } from "../../../components/fields.tsx";
import type { Form } from "../../../components/form.ts";
import { Disclosure } from "../../../components/layout.tsx";
import { PickList } from "../../../components/pick-list.tsx";
import { hostPortPattern } from "../../../lib/patterns.ts";
import { storage as t } from "../../../strings/storage.ts";
import { Discovery } from "./discovery.tsx";
import type { PoolFieldsProps } from "./fields.tsx";
import { giveAgain, type PoolValues, questionOf } from "./values.ts";

export function CephFields({ form, known }: PoolFieldsProps) {
	const values = form.values.value;
	const again = giveAgain(values, known);
	return (
		<>
			<Pasted form={form} />
			<WordsField
				label={t.monitors}
				hint={t.monitorsHint}
				pattern={hostPortPattern}
				invalidText={t.hostPortInvalid}
				values={values.monitors}
				error={form.error("/config/monitors")}
				onChange={(monitors) => form.set({ monitors }, "/config/monitors")}
			/>
			<FieldRow>
				<TextField
					label={t.cephUser}
					hint={t.cephUserHint}
					plain
					mono
					value={values.user}
					error={form.error("/config/user")}
					onInput={(user) => form.set({ user: user.trim().replace(/^client\./, "") }, "/config/user")}
				/>
				<TextField
					label={t.cephKey}
					hint={again ?? (known ? t.keepEmpty : t.secretHint)}
					optional={known !== null && again === null}
					type="password"
					autoComplete="off"
					value={values.cephKey}
					error={form.error("/credentials/cephKey")}
					onInput={(cephKey) => form.set({ cephKey: cephKey.trim() }, "/credentials/cephKey")}
				/>
			</FieldRow>
			{!known && <Place form={form} />}
		</>
	);
}

function Place({ form }: { form: Form<PoolValues> }) {
	const values = form.values.value;
	const chosen = values.namespace === "" ? values.cephPool : `${values.cephPool}/${values.namespace}`;
	return (
		<>
			<Discovery
				action={t.lookPools}
				label={t.cephPools}
				question={questionOf(values)}
				missing={t.cephFirst}
				nodeId={values.nodeIds[0]}
				choices={({ cephPools }) =>
					cephPools
						.filter(({ erasureCoded }) => !erasureCoded)
						.flatMap(({ name, namespaces }) => [
							{ value: name, name },
							...namespaces.map((one) => ({
								value: `${name}/${one}`,
								name: `${name}/${one}`,
								note: t.namespaceOf(name),
							})),
						])
				}
				more={({ cephPools }) => {
					const coded = cephPools.filter(({ erasureCoded }) => erasureCoded);
					if (coded.length === 0) return null;
					const none = { value: "", name: t.noDataPool, note: t.noDataPoolNote };
					const choices = [none, ...coded.map(({ name }) => ({ value: name, name, note: t.erasureCoded }))];
					return (
						<PickList
							label={t.dataPool}
							choices={choices}
							value={values.dataPool}
							onChoose={(dataPool) => form.set({ dataPool }, "/config/dataPool")}
						/>
					);
				}}
				nothing={t.noCephPools}
				value={chosen}
				onChoose={(value) => {
					const [cephPool = "", namespace = ""] = value.split("/");
					form.set({ cephPool, namespace }, "/config/cephPool", "/config/namespace");
				}}
			/>
			<FieldRow>
				<TextField
					label={t.cephPool}
					plain
					mono
					value={values.cephPool}
					error={form.error("/config/cephPool")}
					onInput={(cephPool) => form.set({ cephPool: cephPool.trim() }, "/config/cephPool")}
				/>
				<TextField
					label={t.namespace}
					hint={t.namespaceHint}
					optional
					plain
					mono
					value={values.namespace}
					error={form.error("/config/namespace")}
					onInput={(namespace) => form.set({ namespace: namespace.trim() }, "/config/namespace")}
				/>
			</FieldRow>
			<TextField
				label={t.dataPool}
				hint={t.dataPoolHint}
				optional
				plain
				mono
				value={values.dataPool}
				error={form.error("/config/dataPool")}
				onInput={(dataPool) => form.set({ dataPool: dataPool.trim() }, "/config/dataPool")}
			/>
		</>
	);
}

type Read = { error: string | null; taken: string | null };
const nothingRead: Read = { error: null, taken: null };

/** What was understood is taken over and leaves the box: a keyring does not stay on the screen. */
function Pasted({ form }: { form: Form<PoolValues> }) {
	const [conf, setConf] = useState("");
	const [keyring, setKeyring] = useState("");
	const [ofConf, setOfConf] = useState(nothingRead);
	const [ofKeyring, setOfKeyring] = useState(nothingRead);
	const read = (
		text: string,
		set: (text: string) => void,
		say: (read: Read | ((before: Read) => Read)) => void,
		take: (text: string) => string,
	) => {
		if (text.trim() === "") {
			set(text);
			say(({ taken }) => ({ error: null, taken }));
			return;
		}
		try {
			say({ error: null, taken: take(text) });
			set("");
		} catch (error) {
			set(text);
			say({ error: error instanceof Error ? error.message : String(error), taken: null });
		}
	};
	const takeConf = (text: string): string => {
		const monitors = parseCephConf(text);
		form.set({ monitors }, "/config/monitors");
		return t.tookMonitors(monitors.length);
	};
	const takeKeyring = (text: string): string => {
		const wanted = form.values.peek().user;
		const { user, key } = parseKeyring(text, wanted === "" ? undefined : wanted);
		form.set({ user, cephKey: key }, "/config/user", "/credentials/cephKey");
		return t.tookKey(user);
	};
	return (
		<Disclosure title={t.paste} note={t.pasteNote}>
			<TextAreaField
				label={t.pasteConf}
				plain
				mono
				value={conf}
				error={ofConf.error}
				hint={ofConf.taken}
				onInput={(text) => read(text, setConf, setOfConf, takeConf)}
			/>
			<TextAreaField
				label={t.pasteKeyring}
				plain
				mono
				value={keyring}
				error={ofKeyring.error}
				hint={ofKeyring.taken}
				onInput={(text) => read(text, setKeyring, setOfKeyring, takeKeyring)}
			/>
		</Disclosure>
	);
}
