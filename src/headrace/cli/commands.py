"""The table of commands: the only place to add one. Targets are strings, so nothing is imported until it is called."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """One command: its words, where it is written, and one line of help."""

    words: str
    target: str
    help: str


COMMANDS = (
    Command("init", "headrace.cli.start:init", "Write a first headrace.toml from data files"),
    Command("check", "headrace.cli.run:check", "Read the sources and hold them against their contracts"),
    Command("run", "headrace.cli.run:run", "Sources in, a chosen, priced, signed model version out"),
    Command("predict", "headrace.cli.predict:predict", "Score a file of rows with a registered version"),
    Command("schedule", "headrace.cli.schedule:show", "When the project runs by itself, and what became of it"),
    Command("schedule run", "headrace.cli.schedule:run", "Run the project at its times, until told to stop"),
    Command("schedule attempt", "headrace.cli.schedule:attempt", "One try of one time, as the loop starts it"),
    Command("runs", "headrace.cli.runs:list_runs", "What has been run"),
    Command("runs rm", "headrace.cli.runs:remove", "Forget a run"),
    Command("runs gc", "headrace.cli.runs:collect", "Delete stored data that no kept run needs"),
    Command("show", "headrace.cli.runs:show", "One run: stages, usage, cost, result"),
    Command("models", "headrace.cli.models:list_versions", "Registered versions"),
    Command("models list", "headrace.cli.models:list_versions", "Registered versions"),
    Command("models show", "headrace.cli.models:show", "One version"),
    Command("models compare", "headrace.cli.models:compare", "Two versions side by side"),
    Command("models promote", "headrace.cli.models:promote", "Point an alias at a version"),
    Command("models rollback", "headrace.cli.models:rollback", "Point an alias back at what it named before"),
    Command("models verify", "headrace.cli.models:verify", "Check bytes, signature and answers of a version"),
    Command("models export", "headrace.cli.models:export", "Write a version's files into a folder"),
    Command("models at", "headrace.cli.models:at", "What an alias named at an instant"),
    Command("data", "headrace.cli.data:sources", "What the newest check found in every source"),
    Command("data profile", "headrace.cli.data_profile:profile", "What the accepted columns look like"),
    Command("data quarantine", "headrace.cli.data_quarantine:quarantine", "Rows that were set aside, with reasons"),
    Command("data explain", "headrace.cli.data_explain:explain", "Why an entity of several sources is what it is"),
    Command("data matches", "headrace.cli.data_matches:matches", "Rows that are one although no key says so"),
    Command("data replay", "headrace.cli.data_quarantine:replay", "Hand corrected rows back to the next check"),
    Command("data contract export", "headrace.cli.data_contract:export", "A contract as Open Data Contract Standard"),
    Command("data contract import", "headrace.cli.data_contract:read", "Such a document as sections of headrace.toml"),
    Command("features", "headrace.cli.features:list_features", "What the model sees, and when each of it is known"),
    Command("features list", "headrace.cli.features:list_features", "The same"),
    Command("features explain", "headrace.cli.features_explain:explain", "How one feature is made, in both forms"),
    Command("features build", "headrace.cli.features:build", "The training table, without training"),
    Command("features certify", "headrace.cli.features:certify", "Replay history row by row and compare"),
    Command("materialize", "headrace.cli.materialize:materialize", "Fill the online store from history"),
    Command("predictions", "headrace.cli.predictions:status", "What was answered: logged, shipped, missing, known"),
    Command("predictions show", "headrace.cli.predictions:show", "One request: who answered, when, why, from what"),
    Command("predictions ship", "headrace.cli.predictions:ship_log", "Move the log into the table of predictions"),
    Command("predictions outcomes", "headrace.cli.predictions:outcomes", "Add truths about predictions from a file"),
    Command("predictions verify", "headrace.cli.predictions:verify_log", "Check every byte of the log"),
    Command("replay", "headrace.cli.replay:replay", "Compute logged predictions again and compare them, to the bit"),
    Command("schema", "headrace.cli.start:schema", "Print the JSON Schema of headrace.toml, for editors"),
    Command("serve", "headrace.cli.serve:serve", "Answer predictions over HTTP"),
    Command(
        "deploy", "headrace.cli.deploy:deploy", "Let a version answer under a name: all, few, beside others, unseen"
    ),
    Command("promote", "headrace.cli.deploy:promote", "Let a canary, or an arm, answer everybody"),
    Command("rollback", "headrace.cli.deploy:rollback", "Back to the version that answered everybody before"),
    Command("deployments", "headrace.cli.deploy:deployments", "What answers under which name"),
    Command("deployments history", "headrace.cli.deploy:history", "Every change of a deployment, and why"),
    Command("package", "headrace.cli.package:package", "Write a version as a container's build context, or a folder"),
    Command("front", "headrace.cli.front:front", "Write what stands before several servers: HAProxy's configuration"),
    Command("experiment", "headrace.cli.experiment:status", "What a deployment's arms cost, and what that says"),
    Command("experiment status", "headrace.cli.experiment:status", "The same"),
    Command("experiment settle", "headrace.cli.experiment:settle", "Do what the outcomes say, if it is certain"),
    Command("bench", "headrace.cli.bench:bench", "Load a running server until it has enough, and say why"),
    Command("keys", "headrace.cli.start:keys", "Show the public key that signs this user's packages"),
    Command("keys create", "headrace.cli.keys:create", "Make an API key for those who ask for predictions"),
    Command("keys list", "headrace.cli.keys:list_keys", "The API keys: who may do what, until when"),
    Command("keys revoke", "headrace.cli.keys:revoke", "End an API key"),
)

GROUPS = (
    ("Start", ("init", "schema", "keys")),
    ("Work", ("check", "features build", "run", "schedule", "predict", "materialize")),
    ("Serve", ("serve", "deploy", "promote", "rollback", "deployments", "experiment", "keys create", "bench")),
    ("Ship", ("package", "front")),
    ("Look", ("features", "runs", "show", "models", "data", "predictions", "replay")),
)


def help_text() -> str:
    """What `headrace --help` prints."""
    lines = [
        "headrace: from raw tables to a governed, costed prediction service, from one definition",
        "",
        "usage: headrace COMMAND [ARGUMENTS] [--json] [--project PATH]",
    ]
    for title, names in GROUPS:
        lines += ["", f"{title}:"]
        for name in names:
            command = next(c for c in COMMANDS if c.words == name)
            lines.append(f"  {name:<15} {command.help}")
            below = [c.words.removeprefix(name + " ") for c in COMMANDS if c.words.startswith(name + " ")]
            if below:
                lines.append(f"  {'':<15}   also: {', '.join(f'{name} {word}' for word in below)}")
    lines += [
        "",
        "headrace COMMAND --help tells more. Exit: 0 done, 1 the answer is no, 2 wrong use, 3 trouble outside.",
    ]
    return "\n".join(lines) + "\n"
