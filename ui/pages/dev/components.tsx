/** Every component in its states, to look at while developing. Not part of production builds. */
import { HardDrive, Plus, Trash2 } from "lucide-preact";
import { useState } from "preact/hooks";
import { ApiError } from "../../api/errors.ts";
import { toastFailure, toastSuccess } from "../../api/notify.ts";
import { Label, StateBadge, StateDot, Tags, WarningMark } from "../../components/badge.tsx";
import { Button, type ButtonKind } from "../../components/button.tsx";
import Chart from "../../components/chart.tsx";
import { confirm } from "../../components/confirm.tsx";
import { Copyable } from "../../components/copy.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { EmptyState, ErrorState, ProgressBar, Skeleton, Spinner, UsageBar } from "../../components/feedback.tsx";
import { FieldRow } from "../../components/field.tsx";
import {
	CheckboxField,
	NumberField,
	SegmentedField,
	SelectField,
	TextAreaField,
	TextField,
	WordsField,
} from "../../components/fields.tsx";
import { Card, CodeBlock, Disclosure, Grid, Kbd, Notice, Properties, Stack } from "../../components/layout.tsx";
import { Menu } from "../../components/menu.tsx";
import { Page } from "../../components/page.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { SizeField } from "../../components/size-field.tsx";
import { powerLook, type Tone } from "../../components/states.ts";
import { DataTable } from "../../components/table/data-table.tsx";
import { formatBytes, formatRatio } from "../../lib/format.ts";
import { states } from "../../strings/states.ts";

const reason = "A VM that is running cannot be started.";

export default function ComponentsPage() {
	return (
		<Page title="Components" icon={HardDrive} badges={<Label tone="blue">development</Label>}>
			<Grid wide>
				<Buttons />
				<Badges />
				<Fields />
				<Feedback />
				<Layout />
				<Overlays />
				<Table />
				<Charts />
			</Grid>
		</Page>
	);
}

const kinds: readonly ButtonKind[] = ["primary", "secondary", "ghost", "danger"];

function Buttons() {
	return (
		<Card title="Buttons">
			<Stack>
				{[false, true].map((small) => (
					<div key={String(small)} class="tags">
						{kinds.map((kind) => (
							<Button key={kind} kind={kind} small={small} icon={Plus}>
								{kind}
							</Button>
						))}
						<Button small={small} obstacle={reason}>
							off, with a reason
						</Button>
						<Button small={small} busy>
							busy
						</Button>
						<Button small={small} icon={Trash2} label="Icon only" />
						<Menu
							label="Menu"
							text="Menu"
							small={small}
							actions={[
								{ id: "a", label: "Possible", note: "what it does", onSelect: () => {} },
								{ id: "b", label: "Not now", obstacle: reason, onSelect: () => {} },
								{ id: "c", label: "Chosen", checked: true, onSelect: () => {} },
								{ id: "d", label: "Delete", icon: Trash2, danger: true, divided: true, onSelect: () => {} },
							]}
						/>
					</div>
				))}
			</Stack>
		</Card>
	);
}

const tones: readonly Tone[] = ["green", "grey", "amber", "red", "blue"];

function Badges() {
	return (
		<Card title="States, tags, marks">
			<Stack>
				<div class="tags">
					{(Object.keys(states.power) as (keyof typeof states.power)[]).map((power) => (
						<StateBadge key={power} look={powerLook(power)} />
					))}
				</div>
				<div class="tags">
					{(Object.keys(states.power) as (keyof typeof states.power)[]).map((power) => (
						<StateDot key={power} look={powerLook(power)} />
					))}
				</div>
				<div class="tags">
					{tones.map((tone) => (
						<Label key={tone} tone={tone}>
							{tone}
						</Label>
					))}
					<WarningMark text="A warning" />
					<WarningMark text="A severe one" severe />
				</div>
				<Tags tags={["production", "web", "eu-west/1"]} />
				<Kbd keys="Ctrl K" />
			</Stack>
		</Card>
	);
}

function Fields() {
	const [text, setText] = useState("web-01");
	const [size, setSize] = useState<number | null>(20 * 2 ** 30);
	const [count, setCount] = useState<number | null>(2);
	const [words, setWords] = useState(["linux"]);
	const [choice, setChoice] = useState<"a" | "b">("a");
	const [on, setOn] = useState(true);
	const choices = [
		{ value: "a" as const, label: "First", note: "with a note" },
		{ value: "b" as const, label: "Second" },
	];
	return (
		<Card title="Fields">
			<Stack>
				<TextField label="Text" hint="A hint." value={text} onInput={setText} />
				<TextField label="With an error" error="What is wrong with it." value={text} onInput={setText} />
				<FieldRow>
					<NumberField label="Number" value={count} unit="s" onInput={setCount} />
					<SizeField label="Size" value={size} onInput={setSize} />
				</FieldRow>
				<SelectField label="Choice" value={choice} choices={choices} onChange={setChoice} />
				<SegmentedField label="Few choices" value={choice} choices={choices} onChange={setChoice} />
				<SegmentedField label="Large" large value={choice} choices={choices} onChange={setChoice} />
				<CheckboxField label="Yes or no" hint="What it means." checked={on} onChange={setOn} />
				<WordsField label="Words" optional values={words} onChange={setWords} />
				<TextAreaField label="Long text" optional value={text} onInput={setText} />
			</Stack>
		</Card>
	);
}

const error = new ApiError("The node cannot be reached.", { status: 0, code: "offline", operation: "vmList" });

function Feedback() {
	return (
		<Card title="Waiting, empty, failed">
			<Stack>
				<ProgressBar percent={42} label="Progress" />
				<ProgressBar percent={null} label="Progress" />
				<UsageBar used={40} total={100} label="Usage" />
				<UsageBar used={85} total={100} label="Usage" />
				<UsageBar used={97} total={100} label="Usage" />
				<Spinner label="Connecting" />
				<Skeleton lines={3} />
				<EmptyState icon={HardDrive} title="Nothing yet" text="What this is for.">
					<Button kind="primary">First step</Button>
				</EmptyState>
				<ErrorState error={error} onRetry={() => {}} />
			</Stack>
		</Card>
	);
}

function Layout() {
	return (
		<Card title="Layout">
			<Stack>
				<Notice>Something to know.</Notice>
				<Notice tone="warning" title="A warning" actions={<Button small>Do something</Button>}>
					With a reason.
				</Notice>
				<Notice tone="error" title="A failure">
					With what to do.
				</Notice>
				<Properties
					items={[
						["Name", "web-01"],
						["ID", <Copyable key="id" text="01980000-0000-7000-8000-000000000001" what="ID" />],
						["Created", <RelativeTime key="time" time={new Date(Date.now() - 4000_000).toISOString()} />],
					]}
				/>
				<Disclosure title="A section that opens" note="with a note">
					Inside.
				</Disclosure>
				<CodeBlock label="Code" text={"<domain>\n  <name>web-01</name>\n</domain>"} />
			</Stack>
		</Card>
	);
}

function Overlays() {
	const [open, setOpen] = useState<"modal" | "panel" | null>(null);
	const ask = () =>
		confirm({
			title: "Delete web-01",
			body: "What is lost.",
			confirmLabel: "Delete",
			danger: true,
			typedName: "web-01",
		});
	return (
		<Card title="Dialogs and messages">
			<div class="tags">
				<Button onClick={() => setOpen("modal")}>Dialog</Button>
				<Button onClick={() => setOpen("panel")}>Side panel</Button>
				<Button onClick={() => void ask()}>Confirmation</Button>
				<Button onClick={() => toastSuccess("Saved")}>Success</Button>
				<Button onClick={() => toastFailure("Start web-01", error)}>Failure</Button>
			</div>
			{open && (
				<Dialog title="Title" kind={open} dirty onClose={() => setOpen(null)} footer={<Button>Cancel</Button>}>
					<TextField label="Name" value="" onInput={() => {}} />
				</Dialog>
			)}
		</Card>
	);
}

const rows = Array.from({ length: 5 }, (_, index) => ({
	id: String(index),
	name: `row-${index}`,
	size: 2 ** (28 + index),
}));

function Table() {
	return (
		<Card title="Table" flush>
			<DataTable
				name="components"
				caption="Rows"
				rows={rows}
				inAddress={false}
				columns={[
					{
						id: "name",
						header: "Name",
						cell: ({ name }) => name,
						sort: ({ name }) => name,
						fixed: true,
						card: "title",
					},
					{
						id: "size",
						header: "Size",
						cell: ({ size }) => formatBytes(size),
						sort: ({ size }) => size,
						width: "110px",
						align: "end",
					},
				]}
				rowLabel={({ name }) => name}
				searchText={({ name }) => name}
				bulkActions={() => [{ id: "a", label: "Do it", onSelect: () => {} }]}
				rowActions={() => [{ id: "a", label: "Do it", onSelect: () => {} }]}
			/>
		</Card>
	);
}

const times = Array.from({ length: 120 }, (_, index) => 1_780_000_000 + index * 5);
const waves = [
	{ label: "CPU", color: "accent" as const, values: times.map((_, index) => 0.4 + 0.3 * Math.sin(index / 9)) },
];

const Charts = () => (
	<Card title="Chart">
		<Chart title="CPU" times={times} series={waves} format={formatRatio} max={1} />
	</Card>
);
