/** Where the other nodes reach one. */
import { refreshClusterStatus } from "../../api/cluster-status.ts";
import { toastSuccess } from "../../api/notify.ts";
import type { Node } from "../../api/types.ts";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { CheckboxField, WordsField } from "../../components/fields.tsx";
import { useForm } from "../../components/form.ts";
import { SubmitButton } from "../../components/submit-button.tsx";
import { peerAddressPattern } from "../../lib/patterns.ts";
import { common } from "../../strings/common.ts";
import { members as t } from "../../strings/members.ts";
import { type Captured, CapturedErrors, useCaptured } from "../shared/captured.tsx";

export function AddressesPanel({ node, onClose }: { node: Node; onClose: () => void }) {
	const captured = useCaptured(node);
	return <AddressesForm key={captured.turn} captured={captured} onClose={onClose} />;
}

function AddressesForm({ captured, onClose }: { captured: Captured<Node>; onClose: () => void }) {
	const { id, name, generation, peerAddresses: before } = captured.base;
	const form = useForm({
		initial: { peerAddresses: before, anyway: false },
		validate: ({ peerAddresses }): Record<string, string> =>
			peerAddresses.length === 0 ? { "/peerAddresses": common.required } : {},
		async submit({ peerAddresses, anyway }) {
			const body = { peerAddresses, ...(anyway ? { confirmUnreached: true } : {}) };
			await write("nodeUpdate", { id, body, generation });
			void refreshClusterStatus();
			toastSuccess(t.addressesSaved(name));
			onClose();
		},
		// The API names the address that it does not like by its place.
		fieldOf: (path) => path.replace(/^\/peerAddresses\/\d+$/, "/peerAddresses"),
	});
	const { peerAddresses, anyway } = form.values.value;
	// Another node has looked, and did not find it there.
	const unreached = form.error("/confirmUnreached") !== null;
	return (
		<Dialog
			title={t.addressesTitle(name)}
			onClose={onClose}
			dirty={form.dirty.value && !form.busy.value}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form}>{common.saveChanges}</SubmitButton>
				</>
			}
		>
			<CapturedErrors form={form} title={t.addressesFailed} captured={captured} />
			<p class="muted">{t.addressesText}</p>
			<WordsField
				label={t.addresses}
				hint={t.addressesHint}
				values={peerAddresses}
				pattern={peerAddressPattern}
				invalidText={t.addressInvalid}
				error={form.error("/peerAddresses")}
				onChange={(values) => form.set({ peerAddresses: values, anyway: false }, "/peerAddresses", "/confirmUnreached")}
			/>
			{(unreached || anyway) && (
				<CheckboxField
					label={t.addressesAnyway}
					hint={t.addressesAnywayHint}
					checked={anyway}
					onChange={(value) => form.set({ anyway: value })}
				/>
			)}
		</Dialog>
	);
}
