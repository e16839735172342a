"""What is counted of a model's answers, against scikit-learn and NumPy."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix

from tfx_fusion.modules.report.answers import Answers, class_counts, confusion, most_confused
from tfx_fusion.modules.report.worst import worst_rows


def test_a_confusion_matrix_is_scikit_learns(answers: Answers) -> None:
    truth, chosen = answers.truth("colour"), answers.chances("colour").argmax(axis=1)
    found = confusion(truth, chosen, 4)  # one class that no row has
    np.testing.assert_array_equal(found, confusion_matrix(truth, chosen, labels=range(4)))
    assert found[3].sum() == 0


def test_a_yes_is_the_second_of_two_classes(answers: Answers) -> None:
    said = answers.rows.predictions["steep"][:, 0] > 0.5
    chances = answers.chances("steep")
    assert chances.shape == (200, 2)
    np.testing.assert_array_equal(chances.argmax(axis=1), said)


def test_the_most_frequent_confusions_come_first() -> None:
    counts = np.array([[9, 2, 0], [5, 9, 2], [1, 0, 9]])
    assert most_confused(counts, 3) == [(1, 0, 5), (0, 1, 2), (1, 2, 2)]
    assert most_confused(np.diag([3, 4]), 3) == []


def test_the_counts_of_several_classes_are_scikit_learns(answers: Answers) -> None:
    truth, chances = answers.truth("tags"), answers.chances("tags")
    counts = class_counts(truth, chances)
    wanted = multilabel_confusion_matrix(truth, chances > 0.5)
    np.testing.assert_array_equal(counts.found, wanted[:, 1, 1])
    np.testing.assert_array_equal(counts.overlooked, wanted[:, 1, 0])
    np.testing.assert_array_equal(counts.invented, wanted[:, 0, 1])


def test_of_a_class_the_worst_are_those_most_sure_of_another(answers: Answers) -> None:
    truth, chances = answers.truth("colour"), answers.chances("colour")
    wrong = np.flatnonzero(chances.argmax(axis=1) != truth)
    by_chance = wrong[np.argsort(chances[wrong, truth[wrong]])]
    assert worst_rows(answers, "colour", 5) == by_chance[:5].tolist()
    assert len(worst_rows(answers, "colour", 200)) == len(wrong)


def test_of_several_classes_the_worst_hold_the_surest_mistake(answers: Answers) -> None:
    truth, chances = answers.truth("tags"), answers.chances("tags")
    distance = np.abs(truth - chances)
    mistaken = np.where(distance >= 0.5, distance, 0).max(axis=1)
    assert worst_rows(answers, "tags", 7) == np.argsort(-mistaken)[:7].tolist()


def test_of_a_number_the_worst_are_farthest_off(answers: Answers) -> None:
    error = np.abs(answers.rows.labels["area"] - answers.rows.predictions["area"])[:, 0]
    assert worst_rows(answers, "area", 6) == np.argsort(-error)[:6].tolist()


def test_an_answer_that_is_no_number_is_the_worst(answers: Answers) -> None:
    answers.rows.predictions["area"][17] = np.nan
    assert worst_rows(answers, "area", 2)[0] == 17


def test_where_all_is_right_none_is_the_worst(answers: Answers) -> None:
    answers.rows.predictions["colour"][:] = np.eye(3)[answers.truth("colour")]
    assert worst_rows(answers, "colour", 5) == []
