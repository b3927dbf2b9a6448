"""Whether single terms of a text name the class: a decision tree sees from a few dozen samples what TF-IDF does not."""

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from pipeline.errors import LeakError
from pipeline.evaluate.labelled import Features
from pipeline.evaluate.leakage import TELLING, chance_limit, telling_leak
from pipeline.evaluate.probe import ProbeTask


def term_leaks(words: Features, task: ProbeTask, *, stream: str) -> list[LeakError]:
    """A text stream of which the terms alone, each there or not, give the class of test samples.

    words: (N, F) TF-IDF, in rows of the task. Raises DataError where no training or no test sample has a label.
    """
    train, test = task.labelled(words, task.train), task.labelled(words, task.test)
    tree = DecisionTreeClassifier(random_state=0).fit(train.x > 0, train.y)
    accuracy = float(np.mean(tree.predict(test.x > 0) == test.y))
    return [telling_leak(stream, accuracy)] if accuracy >= TELLING and accuracy > chance_limit(test.y) else []
