/** Whether a disk of an image is a full copy of it, with the reason where there is no choice. */
import { CheckboxField } from "../../components/fields.tsx";
import { storage as t } from "../../strings/storage.ts";

type Props = {
	label?: string;
	/** In another pool than the image. */
	elsewhere: boolean;
	/** As it is, elsewhere as well as by format or provisioning. */
	must: boolean;
	wanted: boolean;
	onChange: (wanted: boolean) => void;
};

export function FullCopyField({ label = t.fullCopy, elsewhere, must, wanted, onChange }: Props) {
	return (
		<CheckboxField
			label={label}
			hint={elsewhere ? t.fullCopyElsewhere : t.fullCopyHint}
			checked={wanted || must}
			disabled={must}
			onChange={onChange}
		/>
	);
}
