"""The paper itself: what it published, and its figures and savings computed anew."""
