/** Thin or thick, as far as the pool can, with what it means or why there is no choice. */
import type { Pool } from "../../api/types.ts";
import { SelectField } from "../../components/fields.tsx";
import { storage as t } from "../../strings/storage.ts";
import { type Provisioning, provisioningChoices, provisioningHint, provisioningIn } from "./choices.ts";

type Props = {
	/** Undefined while the node chooses it. */
	pool: Pool | undefined;
	wanted: Provisioning;
	error: string | null | undefined;
	onChange: (wanted: Provisioning) => void;
};

export function ProvisioningField({ pool, wanted, error, onChange }: Props) {
	const value = provisioningIn(pool, wanted);
	return (
		<SelectField
			label={t.provisioning}
			narrow
			hint={provisioningHint(pool, value)}
			value={value}
			error={error}
			choices={provisioningChoices(pool)}
			onChange={onChange}
		/>
	);
}
