"""What docs/threat-model.md says is not promised, done: so that nobody believes otherwise, and a change is noticed."""

import numpy as np
import torch

from pisyft.aggregation.agreement import Ledger
from pisyft.aggregation.rounds import Rounds, Update, new_agreement
from pisyft.aggregation.simulation import run_round
from pisyft.learning.encoding import encode
from pisyft.learning.models import NGrams, make_model
from pisyft.learning.names import read_folder
from pisyft.learning.remote import find_names
from pisyft.learning.vectors import to_vector


def test_two_pis_and_subtraction():
    """Of two Pis, each knows the other's update: the sum less its own."""
    updates = {"ann": np.array([1.0, 2.0, 3.0]), "ben": np.array([-4.0, 0.5, 9.0])}
    layout = {"w": (3,)}
    rounds = {each: Rounds(Ledger(each, updates)) for each in updates}
    for each, values in updates.items():
        rounds[each].keep(Update(values, 1, layout, ""))
    total = run_round(new_agreement("additive", updates, "", layout), rounds)
    assert np.allclose(total.mean * total.weight - updates["ann"], updates["ben"], atol=1e-4)


def test_a_crafted_sum_under_the_policy_teach(workers):
    """A coordinator that has bob share zeros gets what alice shares: why this policy is for teaching."""
    alice, bob = workers
    secret = find_names(alice).languages[0:1].float()
    zero = find_names(bob).languages[0:1].float() * 0
    total = secret.fix_precision().share(alice, bob).get() + zero.fix_precision().share(alice, bob).get()
    assert total.get().float_precision().item() in (0.0, 1.0, 2.0, 3.0), "the language of alice's first name"


def test_a_model_that_was_made_to_ask(lab, whoever):
    """A model may guess one language for names with a certain letter, another for the rest; counts say how many."""
    model = make_model("ngrams", 57, 4)
    assert isinstance(model, NGrams)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        rows = [set(model.rows(encode({"": [name]}).letters)[0].tolist()) for name in ("k", "ak", "ka", "aka")]
        (row,) = set.intersection(*rows) - set(model.rows(encode({"": ["a"]}).letters)[0].tolist())
        model.table.weight[row, 0] = 20.0
        model.bias[1] = 10.0
    answer = whoever.call("evaluate", weights=to_vector(model).detach().numpy(), model="ngrams")
    with_letter = sum(row[0] for row in answer["confusion"]) + (answer["pooled"][0] if answer["pooled"] else 0)
    # Both labs are dealt the same names.
    test = read_folder(lab.names_of("alice") / "test")
    assert with_letter == sum("k" in name for names in test.values() for name in names)


def test_counts_of_languages_before_and_after(whoever):
    """`describe` counts names by language: when somebody adds a name, the difference is its language."""
    told = whoever.call("describe")
    assert sum(told["by_language"]) == told["train"] + told["validation"] + told["test"]
