"""Existing scikit-learn code with one line around it: python examples/sklearn_grid_search.py (needs mlops_sdk[sklearn])."""

from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mlops_sdk


def train() -> None:
    """Code that knows nothing of a tracker."""
    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    grid = {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]}
    search = GridSearchCV(pipeline, grid, cv=5, scoring="accuracy").fit(X_train, y_train)
    search.score(X_test, y_test)
    roc_auc_score(y_test, search.predict_proba(X_test)[:, 1])


def main() -> None:
    with mlops_sdk.start_run(experiment="sklearn", name="grid") as run, run.sklearn():
        train()

    print(run.tags["estimator"])
    results = run.cv_results()
    for row in results:
        mark = "*" if row == results.best else " "
        print(f"{mark} C={row['params']['logisticregression__C']:<5} {row['mean_test_score']:.3f}")
    folds = " ".join(f"{score:.3f}" for score in results.fold_scores())
    print(f"folds of the best: {folds}")
    print(f"test accuracy {run.metrics['test_accuracy']:.3f}, ROC AUC {run.metrics['test_roc_auc']:.3f}")


if __name__ == "__main__":
    main()
